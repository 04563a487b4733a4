// swift-tools-version: 6.1
//
// Speed of the kernels and of the tokenizer against thresholds. A package of its own, so that building Idefix does
// not build it; its build takes nothing of Idefix but the rooms that are measured.

import PackageDescription

let package = Package(
  name: "idefix-benchmarks",
  dependencies: [.package(name: "idefix", path: "../..")],
  targets: [
    .executableTarget(
      name: "KernelBenchmarks",
      dependencies: [.product(name: "IdefixKernels", package: "idefix")],
      swiftSettings: [.enableUpcomingFeature("ExistentialAny")]
    ),
    .executableTarget(
      name: "TokenizerBenchmarks",
      dependencies: [.product(name: "IdefixTokenizers", package: "idefix")],
      swiftSettings: [.enableUpcomingFeature("ExistentialAny")]
    ),
  ],
  swiftLanguageModes: [.v6]
)
