// The rules of a safetensors file, each broken once, and the checkpoint folder around it.

import Foundation
import Tensors
import TestSupport
import Testing
import WeightFiles

/// A broken file and a part of the sentence that must name what is wrong with it.
struct BrokenFile: Sendable, CustomTestStringConvertible {
  let name: String
  let bytes: [UInt8]
  let says: String
  var testDescription: String { name }

  init(_ name: String, header: String, data: Int = 8, says: String) {
    self.init(name, bytes: SafetensorsBytes.file(header: header, data: data), says: says)
  }

  init(_ name: String, bytes: [UInt8], says: String) {
    self.name = name
    self.bytes = bytes
    self.says = says
  }

  private typealias Build = SafetensorsBytes

  static let all: [BrokenFile] = [
    BrokenFile("empty", bytes: [], says: "only 0 bytes"),
    BrokenFile(
      "text",
      bytes: Array("this is a text file, not weights".utf8),
      says: "not plausible"
    ),
    BrokenFile(
      "header of 2^63",
      bytes: [0, 0, 0, 0, 0, 0, 0, 0x80, 0x7b, 0x7d],
      says: "not plausible"
    ),
    BrokenFile(
      "header of 100 MB",
      bytes: [0, 0xe1, 0xf5, 5, 0, 0, 0, 0, 0x7b, 0x7d],
      says: "not plausible"
    ),
    BrokenFile(
      "header beyond the end",
      bytes: [0, 1, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d],
      says: "header ends beyond"
    ),
    BrokenFile("array", header: "[1]", says: "not JSON"),
    BrokenFile("unterminated", header: "{\"a\":", says: "damaged header"),
    BrokenFile("text after", header: "{}x", says: "after the value"),
    BrokenFile(
      "duplicate key",
      header: "{\(Build.entry("a", "F32", [2], 0, 8)),\(Build.entry("a", "F32", [2], 0, 8))}",
      says: "duplicate key \"a\""
    ),
    BrokenFile(
      "duplicate key by escape",
      header: "{\(Build.entry("a", "F32", [2], 0, 8)),\(Build.entry("\\u0061", "F32", [2], 0, 8))}",
      says: "duplicate key"
    ),
    BrokenFile(
      "duplicate field",
      header: "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,8]}}",
      says: "duplicate key \"dtype\""
    ),
    BrokenFile(
      "deep",
      header: "{\"a\":" + String(repeating: "[", count: 100_000),
      says: "expected \"{\""
    ),
    BrokenFile(
      "deep metadata",
      header: "{\"__metadata__\":" + String(repeating: "{\"a\":", count: 100_000),
      says: "expected a text"
    ),
    BrokenFile(
      "not UTF-8",
      bytes: Build.file(header: Array("{\"a".utf8) + [0xff, 0xfe] + Array("\":{}}".utf8)),
      says: "not UTF-8"
    ),
    BrokenFile("lone surrogate", header: "{\"\\ud800\":{}}", says: "lone surrogate"),
    BrokenFile("missing field", header: "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", says: "lacks"),
    BrokenFile(
      "unknown field",
      header: "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}",
      says: "unknown field"
    ),
    BrokenFile(
      "three offsets",
      header: "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}",
      says: "data_offsets"
    ),
    BrokenFile(
      "unknown type",
      header: "{\(Build.entry("a", "F8_E5M2", [8], 0, 8))}",
      says: "unknown element type \"F8_E5M2\""
    ),
    BrokenFile(
      "zero dimension",
      header: "{\(Build.entry("a", "F32", [0, 2], 0, 0))}",
      says: "zero"
    ),
    BrokenFile(
      "nine dimensions",
      header: "{\(Build.entry("a", "U8", [1, 1, 1, 1, 1, 1, 1, 1, 8], 0, 8))}",
      says: "9 dimensions"
    ),
    BrokenFile(
      "negative dimension",
      header: "{\(Build.entry("a", "F32", [-2], 0, 8))}",
      says: "non-negative"
    ),
    BrokenFile(
      "dimension of 2^64",
      header: "{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551616],\"data_offsets\":[0,8]}}",
      says: "non-negative"
    ),
    BrokenFile(
      "product overflow",
      header: "{\(Build.entry("a", "F32", [1 << 32, 1 << 32], 0, 8))}",
      says: "overflow"
    ),
    BrokenFile(
      "byte overflow",
      header: "{\(Build.entry("a", "F64", [1 << 31, 1 << 31], 0, 8))}",
      says: "overflow"
    ),
    BrokenFile("wrong size", header: "{\(Build.entry("a", "F32", [3], 0, 8))}", says: "needs 12"),
    BrokenFile("reversed", header: "{\(Build.entry("a", "F32", [2], 8, 0))}", says: "bytes 8..<0"),
    BrokenFile(
      "beyond the end",
      header: "{\(Build.entry("a", "F32", [4], 0, 16))}",
      says: "truncated"
    ),
    BrokenFile("hole at start", header: "{\(Build.entry("a", "U8", [4], 4, 8))}", says: "hole"),
    BrokenFile(
      "hole",
      header: "{\(Build.entry("a", "U8", [3], 0, 3)),\(Build.entry("b", "U8", [4], 4, 8))}",
      says: "hole"
    ),
    BrokenFile(
      "overlap",
      header: "{\(Build.entry("a", "U8", [5], 0, 5)),\(Build.entry("b", "U8", [4], 4, 8))}",
      says: "overlaps"
    ),
    BrokenFile(
      "misaligned",
      header: "{\(Build.entry("a", "U8", [1], 0, 1)),\(Build.entry("b", "F32", [1], 1, 5))}",
      data: 5,
      says: "misaligned"
    ),
    BrokenFile(
      "bytes left over",
      header: "{\(Build.entry("a", "U8", [4], 0, 4))}",
      says: "4 bytes after"
    ),
  ]
}

@Suite struct SafetensorsTests {
  @Test(arguments: BrokenFile.all)
  func refusesBrokenFiles(_ broken: BrokenFile) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(broken.bytes, to: "model.safetensors")
    let started = ContinuousClock.now
    let error = #expect(throws: WeightFileError.self) { try Safetensors(path: path) }
    #expect(started.duration(to: .now) < .seconds(1))
    let sentence = error?.description ?? ""
    #expect(sentence.hasPrefix(path) && sentence.contains(broken.says), "\(sentence)")
    #expect(error?.kind == .badData)
  }

  @Test func readsWhatIsThere() throws {
    let folder = try TemporaryFolder()
    let header =
      "{\"__metadata__\":{\"format\":\"pt\"},"
      + SafetensorsBytes.entry("b.\\u00e9", "BF16", [2, 3], 8, 20) + ","
      + SafetensorsBytes.entry("a", "F32", [], 0, 4) + ","
      + SafetensorsBytes.entry("c", "U8", [4], 4, 8) + "}   "
    let path = try folder.write(SafetensorsBytes.file(header: header, data: 20), to: "x")
    let file = try Safetensors(path: path)
    #expect(file.tensors.map(\.name) == ["a", "c", "b.é"])
    #expect(file.metadata == ["format": "pt"])
    let last = try #require(file.tensors.last)
    #expect(last.shape.dimensions == [2, 3] && last.dtype == .bfloat16 && last.byteCount == 12)
    #expect(try file.file.bytes(at: last.offset, count: 2) == [8, 9])
  }

  @Test func everyTruncationIsRefused() throws {
    let folder = try TemporaryFolder()
    let header = "{\(SafetensorsBytes.entry("a", "F32", [2, 2], 0, 16))}"
    let whole = SafetensorsBytes.file(header: header, data: 16)
    for count in 0..<whole.count {
      let path = try folder.write(Array(whole.prefix(count)), to: "cut")
      #expect(throws: WeightFileError.self, "\(count)") { try Safetensors(path: path) }
    }
  }

  @Test(arguments: [
    (DType.float16, [0x00, 0x3c, 0x00, 0xc0, 0x01, 0x00, 0x00, 0x7c] as [UInt8]),
    (.bfloat16, [0x80, 0x3f, 0x00, 0xc0, 0x80, 0x33, 0x80, 0x7f]),
    (.float32, [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0, 0, 0x80, 0x33, 0, 0, 0x80, 0x7f]),
  ])
  func decodesElements(_ type: DType, _ bytes: [UInt8]) {
    var values = [Float](repeating: 0, count: 4)
    bytes.withUnsafeBytes { source in
      values.withUnsafeMutableBufferPointer { FloatDecoding.decode(source, as: type, into: $0) }
    }
    #expect(values == [1, -2, 0x1p-24, .infinity])
  }

  @Test func decodesEveryHalfPrecisionPattern() {
    for pattern in UInt16.min...UInt16.max {
      var value: Float = 0
      withUnsafeBytes(of: pattern.littleEndian) { source in
        withUnsafeMutablePointer(to: &value) {
          FloatDecoding.decode(source, as: .float16, into: .init(start: $0, count: 1))
        }
      }
      let exponent = Int(pattern >> 10) & 31
      let fraction = Float(pattern & 1023)
      let magnitude: Float =
        switch exponent {
        case 0: fraction * 0x1p-24
        case 31: fraction == 0 ? .infinity : .nan
        default: (1 + fraction / 1024) * Float(sign: .plus, exponent: exponent - 15, significand: 1)
        }
      let expected = pattern & 0x8000 != 0 ? -magnitude : magnitude
      if expected.isNaN {
        #expect(value.isNaN)
      } else if value != expected {
        Issue.record("pattern \(pattern): \(value), expected \(expected)")
      }
    }
  }
}

@Suite struct CheckpointFolderTests {
  private let shard = SafetensorsBytes.file(
    header: "{\(SafetensorsBytes.entry("a", "U8", [4], 0, 4))}",
    data: 4
  )
  private let other = SafetensorsBytes.file(
    header: "{\(SafetensorsBytes.entry("b", "U8", [4], 0, 4))}",
    data: 4
  )

  private func index(_ map: String) -> [UInt8] { Array("{\"weight_map\":{\(map)}}".utf8) }

  @Test func readsShards() throws {
    let folder = try TemporaryFolder()
    try folder.write(shard, to: "m-1.safetensors")
    try folder.write(other, to: "m-2.safetensors")
    try folder.write(
      index("\"a\":\"m-1.safetensors\",\"b\":\"m-2.safetensors\""),
      to: "model.safetensors.index.json"
    )
    let checkpoint = try CheckpointFolder(path: folder.path)
    #expect(checkpoint.tensors.map(\.name) == ["a", "b"])
    let b = try #require(checkpoint.tensor(named: "b"))
    #expect(try checkpoint.file(of: b).path.hasSuffix("m-2.safetensors"))
    #expect(try checkpoint.companion("config.json") == nil)
  }

  @Test(arguments: [
    ("\"a\":\"../m-1.safetensors\"", "no safetensors file of this folder"),
    ("\"a\":\"/etc/m.safetensors\"", "no safetensors file of this folder"),
    ("\"a\":\"m-1.bin\"", "no safetensors file of this folder"),
    ("\"a\":7", "no safetensors file of this folder"),
    ("", "no weight_map"),
    ("\"a\":\"m-1.safetensors\",\"x\":\"m-1.safetensors\"", "has no tensor \"x\""),
    ("\"b\":\"m-1.safetensors\"", "is not where"),
    ("\"a\":\"m-1.safetensors\",\"a\":\"m-2.safetensors\"", "duplicate key"),
    ("\"a\":\"m-1.safetensors\",\"b\":\"m-3.safetensors\"", "no such file"),
    ("\"a\":\"m-1.safetensors\",\"b\":\"link.safetensors\"", "leads out of the folder"),
    ("\"a\":\"m-1.safetensors\",\"b\":\"pipe.safetensors\"", "not a regular file"),
  ])
  func refusesBadIndexes(_ map: String, _ says: String) throws {
    let folder = try TemporaryFolder()
    let outside = try TemporaryFolder()
    try outside.write(other, to: "b.safetensors")
    try folder.write(shard, to: "m-1.safetensors")
    try folder.write(other, to: "m-2.safetensors")
    try FileManager.default.createSymbolicLink(
      atPath: folder("link.safetensors"),
      withDestinationPath: outside("b.safetensors")
    )
    #expect(mkfifo(folder("pipe.safetensors"), 0o600) == 0)
    try folder.write(index(map), to: "model.safetensors.index.json")
    let error = #expect(throws: WeightFileError.self) { try CheckpointFolder(path: folder.path) }
    #expect(error?.description.contains(says) == true, "\(error?.description ?? "")")
  }

  @Test func followsLinksOfTheHubCacheOnly() throws {
    let cache = try TemporaryFolder()
    for name in ["blobs", "snapshots/main"] {
      try FileManager.default.createDirectory(
        atPath: cache(name),
        withIntermediateDirectories: true
      )
    }
    try cache.write(shard, to: "blobs/0123")
    try FileManager.default.createSymbolicLink(
      atPath: cache("snapshots/main/model.safetensors"),
      withDestinationPath: "../../blobs/0123"
    )
    #expect(try CheckpointFolder(path: cache("snapshots/main")).tensors.count == 1)
  }

  @Test func refusesFoldersWithoutWeights() throws {
    let folder = try TemporaryFolder()
    #expect(throws: WeightFileError.self) { try CheckpointFolder(path: folder.path) }
    let missing = #expect(throws: WeightFileError.self) {
      try CheckpointFolder(path: folder("nothing"))
    }
    #expect(missing?.kind == .noInput)
  }
}
