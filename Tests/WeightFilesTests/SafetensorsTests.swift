// The rules of a safetensors file, each broken once, and the checkpoint folder around it.

import Foundation
import Tensors
import TestSupport
import Testing
import WeightFiles

@Suite struct SafetensorsTests {
  @Test(arguments: HostileSafetensors.all)
  func refusesBrokenFiles(_ broken: HostileSafetensors) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(broken.bytes, to: "model.safetensors")
    let error = #expect(throws: WeightFileError.self) { try Safetensors(path: path) }
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

  @Test func aFileThatShrinksIsNotRead() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(shard, to: "model.safetensors")
    let checkpoint = try CheckpointFolder(path: folder.path)
    let a = try #require(checkpoint.tensor(named: "a"))
    let file = try checkpoint.file(of: a)
    #expect(try file.bytes(at: a.offset, count: a.byteCount).count == 4)
    #expect(truncate(path, 9) == 0)
    #expect(throws: WeightFileError.changed(path: path)) {
      try file.bytes(at: a.offset, count: a.byteCount)
    }
    #expect(throws: WeightFileError.changed(path: path)) { try file.checkUnchanged() }
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
