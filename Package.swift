// swift-tools-version: 6.1
//
// The rooms of Idefix, from the ground up. Imports go downward only; Tools/check-imports holds it.
// Every figure of the kernels depends on the flags below, so they are set here and nowhere else.

import PackageDescription

/// Flags for code that must stay safe: plain optimisation, overflow and bounds checks on.
let checked: [SwiftSetting] = [.swiftLanguageMode(.v6), .enableUpcomingFeature("ExistentialAny")]

/// Flags for the innermost loops: optimised in every configuration, overflow checks off.
///
/// Only rooms that receive validated sizes may use them.
let kernel: [SwiftSetting] =
  checked + [.unsafeFlags(["-Ounchecked", "-enforce-exclusivity=unchecked"])]

/// Kernel flags plus the instruction set of one target, for Swift's own code and for the inlined C.
func kernel(clang flags: [String]) -> [SwiftSetting] {
  kernel + [.unsafeFlags(flags.flatMap { ["-Xcc", $0] })]
}

#if arch(x86_64)
let kernelTargets = ["KernelsAVX2", "KernelsAVXVNNI", "KernelsAVX512VNNI"]
#elseif arch(arm64)
let kernelTargets = ["KernelsNEON"]
#else
let kernelTargets: [String] = []
#endif

/// Instruction-set flags of each kernel target.
let instructionSets = [
  "KernelsAVX2": ["-mavx2", "-mfma", "-mf16c", "-mbmi2"],
  "KernelsAVXVNNI": ["-mavx2", "-mfma", "-mf16c", "-mbmi2", "-mavxvnni"],
  "KernelsAVX512VNNI": [
    "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx512vnni", "-mfma",
    "-mf16c", "-mbmi2", "-mprefer-vector-width=512",
  ],
  "KernelsNEON": ["-march=armv8.2-a+dotprod+fp16"],
]

let package = Package(
  name: "idefix",
  products: [
    .library(name: "Idefix", targets: ["Idefix"]),
    // For Tools/Benchmarks alone: no promise to anyone else.
    .library(name: "IdefixKernels", targets: ["Kernels", "Tensors"]),
    .library(name: "IdefixTokenizers", targets: ["Tokenizers"]),
    .executable(name: "idefix", targets: ["IdefixCLI"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
    .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.2"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
  ],
  targets: [
    // C: system codecs, the heap's settings and header-only vector primitives.
    .target(name: "CIntrinsics"),
    .systemLibrary(name: "CMalloc"),
    .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
    .systemLibrary(name: "CWebP", pkgConfig: "libwebp", providers: [.apt(["libwebp-dev"])]),
    .target(name: "CJPEG", linkerSettings: [.linkedLibrary("jpeg")]),
    .target(name: "CPNG", linkerSettings: [.linkedLibrary("png")]),
    .target(name: "CGIF", linkerSettings: [.linkedLibrary("gif")]),

    // Numbers and kernels.
    .target(name: "Tensors", swiftSettings: checked),
    .target(name: "KernelCore", dependencies: ["CIntrinsics", "Tensors"], swiftSettings: kernel),
    .target(
      name: "Kernels",
      dependencies: ["CIntrinsics", "Tensors", "KernelCore"]
        + kernelTargets.map { .target(name: $0) },
      swiftSettings: checked
    ),

    // Bytes from outside: settings, weights, text, pictures.
    .target(name: "JSONText", swiftSettings: checked),
    .target(
      name: "WeightFiles",
      dependencies: [
        "Tensors", "JSONText", "CZstd", .product(name: "Crypto", package: "swift-crypto"),
      ],
      swiftSettings: checked
    ),
    .target(name: "Tokenizers", dependencies: ["JSONText"], swiftSettings: checked),
    .target(
      name: "Images",
      dependencies: ["CJPEG", "CPNG", "CWebP", "CGIF"],
      swiftSettings: checked
    ),

    // The model and what is built on it.
    .target(
      name: "IdeficsModel",
      dependencies: ["Tensors", "Kernels", "WeightFiles"],
      swiftSettings: checked
    ),
    .target(
      name: "Conversion",
      dependencies: ["Tensors", "Kernels", "JSONText", "WeightFiles", "IdeficsModel"],
      swiftSettings: checked
    ),
    .target(
      name: "Idefix",
      dependencies: [
        "IdeficsModel", "Tokenizers", "Images", "WeightFiles", "Kernels", "JSONText",
        .product(name: "Crypto", package: "swift-crypto"),
      ],
      swiftSettings: checked
    ),
    .target(name: "Evaluation", dependencies: ["Idefix"], swiftSettings: checked),
    .target(
      name: "IdefixServer",
      dependencies: [
        "Idefix",
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "CoreMetrics", package: "swift-metrics"),
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ],
      resources: [
        .embedInCode("Page/page.css"), .embedInCode("Page/page.html"),
        .embedInCode("Page/page.js"),
      ],
      swiftSettings: checked
    ),
    .executableTarget(
      name: "IdefixCLI",
      dependencies: [
        "CMalloc", "Idefix", "Conversion", "Evaluation", "IdefixServer", "JSONText",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: checked
    ),

    // Tests: one target a room.
    .target(
      name: "TestSupport",
      dependencies: ["Tensors", "WeightFiles"],
      path: "Tests/TestSupport"
    ),
    .target(
      name: "FuzzTargets",
      dependencies: [
        "Conversion", "IdeficsModel", "Idefix", "Images", "Kernels", "Tensors", "Tokenizers",
        "WeightFiles",
      ],
      path: "Tests/FuzzTargets"
    ),
    .testTarget(name: "CorpusTests", dependencies: ["FuzzTargets", "TestSupport"]),
    .testTarget(name: "TensorsTests", dependencies: ["Tensors", "TestSupport"]),
    .testTarget(
      name: "ConversionTests",
      dependencies: [
        "Conversion", "IdeficsModel", "Kernels", "WeightFiles", "Tensors", "TestSupport",
      ]
    ),
    .testTarget(name: "WeightFilesTests", dependencies: ["WeightFiles", "Tensors", "TestSupport"]),
    .executableTarget(name: "measure", path: "Tests/Measure"),
    .testTarget(
      name: "EndToEndTests",
      dependencies: ["IdefixCLI", "TestSupport", "WeightFiles", "measure"]
    ),
    .testTarget(
      name: "IdeficsModelTests",
      dependencies: ["IdeficsModel", "Kernels", "WeightFiles", "Images", "Tensors", "TestSupport"]
    ),
    .testTarget(name: "JSONTextTests", dependencies: ["JSONText"]),
    .testTarget(name: "TokenizersTests", dependencies: ["Tokenizers", "TestSupport"]),
    .testTarget(name: "ImagesTests", dependencies: ["Images", "TestSupport"]),
    .testTarget(
      name: "IdefixTests",
      dependencies: [
        "Idefix", "Conversion", "IdeficsModel", "Images", "Tokenizers", "WeightFiles",
        "TestSupport",
      ]
    ),
    .testTarget(
      name: "EvaluationTests",
      dependencies: ["Evaluation", "Conversion", "Idefix", "TestSupport"]
    ),
    .testTarget(name: "KernelsTests", dependencies: ["Kernels", "Tensors", "TestSupport"]),
    .testTarget(
      name: "IdefixServerTests",
      dependencies: [
        "Idefix", "IdefixServer",
        .product(name: "CoreMetrics", package: "swift-metrics"),
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdTesting", package: "hummingbird"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ]
    ),
  ],
  swiftLanguageModes: [.v6]
)

for name in kernelTargets {
  package.targets.append(
    .target(
      name: name,
      dependencies: ["KernelCore", "CIntrinsics"],
      swiftSettings: kernel(clang: instructionSets[name] ?? [])
    )
  )
}
