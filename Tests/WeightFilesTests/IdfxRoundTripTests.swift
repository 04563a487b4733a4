// What the writer writes, the reader reads: every encoding, both codecs, blocks of several sizes; and a
// writer that is stopped anywhere and begun again ends with the same bytes.

import Foundation
import Tensors
import TestSupport
import Testing
import WeightFiles

/// A small model's worth of tensors, written by the reference quantiser.
struct SampleModel {
  let codec: BlockCodec
  private let items: [Item]

  private struct Item {
    let name: String
    let shape: Shape
    let storage: IdfxStorage
    let planes: [[UInt8]]
  }

  init(codec: BlockCodec) throws {
    self.codec = codec
    var random = SeededGenerator(seed: 11)
    var items: [Item] = []
    let shapes = [(1, 1), (16, 32), (17, 100), (100, 588), (33, 4000)]
    for (index, (rows, columns)) in shapes.enumerated() {
      for encoding in WeightEncoding.allCases {
        let packed = try #require(
          ReferenceQuantizer.pack(
            random.normals(rows * columns, scale: 0.02),
            rows: rows,
            columns: columns,
            encoding: encoding
          )
        )
        items.append(
          Item(
            name: "w\(index).\(encoding.name)",
            shape: try #require(Shape([rows, columns])),
            storage: .packed(packed.layout, packed.codebook),
            planes: withExtendedLifetime(packed) {
              [packed.codes, packed.scales, packed.rowScales].compactMap {
                $0.map { Array($0.bytes) }
              }
            }
          )
        )
      }
    }
    // More than one block: 1.2 million float32.
    for (name, dimensions) in [("scalar", []), ("vector", [7]), ("large", [3, 400, 1000])] {
      let shape = try #require(Shape(dimensions))
      let values = random.normals(shape.count)
      items.append(
        Item(
          name: name,
          shape: shape,
          storage: .dense,
          planes: [values.withUnsafeBytes { Array($0) }]
        )
      )
    }
    self.items = items
  }

  /// Writes what is not yet written, and seals.
  func write(to path: String, capacity: Int = .max) throws {
    let writer = try IdfxWriter(path: path, codec: codec, identity: [1, 2, 3], capacity: capacity)
    let encoder = IdfxBlockEncoder(codec: codec, level: 3)
    let files: [(String, [UInt8])] = [
      ("config.json", Array("{\"a\": 1}".utf8)), ("empty", []),
      ("tokenizer.model", (0..<5_000_000).map { UInt8(truncatingIfNeeded: $0 * $0 >> 8) }),
    ]
    for (name, contents) in files.dropFirst(writer.files.count) {
      try writer.append(file: name, contents: contents, encoder: encoder)
    }
    for item in items.dropFirst(writer.tensors.count) {
      var units = [4]
      if case .packed(let layout, _) = item.storage { units = layout.planes.map(layout.tileBytes) }
      for (plane, unit) in zip(item.planes, units) {
        let block = try #require(IdfxFormat.blockByteCount(unitBytes: unit))
        try writer.beginPlane(codec)
        for start in stride(from: 0, to: plane.count, by: block) {
          try writer.append(encoder.encode(Array(plane[start..<min(start + block, plane.count)])))
        }
      }
      try writer.endTensor(
        item.name,
        shape: item.shape,
        storage: item.storage,
        codec: codec,
        signalEnergy: 2,
        errorEnergy: 0.5
      )
    }
    let source = IdfxSource(name: "s", byteCount: 5, sha256: [UInt8](repeating: 9, count: 32))
    try writer.seal(toolVersion: "test", recipe: "{}", sources: [source])
  }

  /// Compares a file with what was to be written.
  func check(_ file: IdfxFile) throws {
    #expect(file.tensors.map(\.name) == items.map(\.name))
    #expect(file.metadata.files == ["config.json", "empty", "tokenizer.model"])
    #expect(file.metadata.sources.map(\.name) == ["s"] && file.metadata.toolVersion == "test")
    #expect(try file.embeddedFile("config.json") == Array("{\"a\": 1}".utf8))
    #expect(try file.embeddedFile("empty") == [])
    #expect(try file.embeddedFile("tokenizer.model")?.count == 5_000_000)
    #expect(try file.embeddedFile("other") == nil)
    for item in items {
      #expect(file.contains(item.name) && file.shape(of: item.name) == item.shape)
      #expect(file.tensor(named: item.name)?.relativeSquaredError == 0.25)
      switch item.storage {
      case .dense:
        let values = try file.dense(item.name).values
        #expect(values.withUnsafeBytes { Array($0) } == item.planes[0])
        #expect(throws: WeightFileError.self) { try file.packed(item.name) }
      case .packed(let layout, let codebook):
        let packed = try file.packed(item.name)
        #expect(packed.layout == layout)
        #expect(!layout.encoding.hasCodebook || packed.codebook == codebook)
        let planes = [packed.codes, packed.scales, packed.rowScales].compactMap { $0 }
        let bytes = withExtendedLifetime(packed) { planes.map { Array($0.bytes) } }
        #expect(bytes == item.planes)
      }
    }
  }
}

@Suite struct IdfxRoundTripTests {
  @Test(arguments: BlockCodec.allCases)
  func roundTrips(_ codec: BlockCodec) throws {
    let folder = try TemporaryFolder()
    let model = try SampleModel(codec: codec)
    try model.write(to: folder("x.idfx"))
    for access in [IdfxAccess.mapped, .copied] {
      for threads in [1, 3] {
        let file = try IdfxFile.open(folder("x.idfx"), access: access, threads: threads)
        try model.check(file)
        #expect(try file.verify())
      }
    }
    #expect(!folder.exists("x.idfx.partial") && !folder.exists("x.idfx.journal"))
  }

  @Test(arguments: BlockCodec.allCases)
  func resumesAfterAFullDiskToTheSameBytes(_ codec: BlockCodec) throws {
    let folder = try TemporaryFolder()
    let model = try SampleModel(codec: codec)
    try model.write(to: folder("whole"))
    let whole = try folder.read("whole")
    var random = SeededGenerator(seed: 5)
    for _ in 0..<12 {
      var capacity = 64
      while !folder.exists("x") {
        capacity += Int.random(in: 1..<(whole.count / 3), using: &random)
        do {
          try model.write(to: folder("x"), capacity: capacity)
        } catch let error as WeightFileError {
          #expect(error.kind == .inputOutput && error.description.contains("disk is full"))
          #expect(!folder.exists("x"))
        }
      }
      #expect(try folder.read("x") == whole)
      try FileManager.default.removeItem(atPath: folder("x"))
    }
  }

  /// A kill can leave any prefix of the journal with any prefix of the data; so can a power failure,
  /// which may also lose bytes in the middle.
  @Test func resumesFromAnyDamageToTheSameBytes() throws {
    let folder = try TemporaryFolder()
    let model = try SampleModel(codec: .zstd)
    try model.write(to: folder("whole"))
    let whole = try folder.read("whole")
    #expect(throws: WeightFileError.self) {
      try model.write(to: folder("x"), capacity: whole.count - 200)
    }
    let partial = try folder.read("x.partial")
    let journal = try folder.read("x.journal")
    #expect(journal.count > 1000)
    var random = SeededGenerator(seed: 6)
    for trial in 0..<40 {
      var cutPartial = partial
      var cutJournal = journal
      if trial % 3 != 1 {
        cutPartial = Array(partial.prefix(Int.random(in: 0...partial.count, using: &random)))
      }
      if trial % 3 != 0 {
        cutJournal = Array(journal.prefix(Int.random(in: 0...journal.count, using: &random)))
      }
      if trial % 4 == 3, !cutPartial.isEmpty {
        cutPartial[Int.random(in: 0..<cutPartial.count, using: &random)] ^= 0x10
      }
      if trial % 4 == 2, !cutJournal.isEmpty {
        cutJournal[Int.random(in: 0..<cutJournal.count, using: &random)] ^= 0x10
      }
      try folder.write(cutPartial, to: "x.partial")
      try folder.write(cutJournal, to: "x.journal")
      try model.write(to: folder("x"))
      #expect(try folder.read("x") == whole, "trial \(trial)")
      try FileManager.default.removeItem(atPath: folder("x"))
    }
  }

  @Test func beginsAnewForAnotherIdentityAndRefusesASecondWriter() throws {
    let folder = try TemporaryFolder()
    let encoder = IdfxBlockEncoder(codec: .raw, level: 0)
    do {
      let writer = try IdfxWriter(path: folder("x"), codec: .raw, identity: [1])
      try writer.append(file: "a", contents: [1, 2, 3], encoder: encoder)
      let error = #expect(throws: WeightFileError.self) {
        try IdfxWriter(path: folder("x"), codec: .raw, identity: [1])
      }
      #expect(error == .busy(path: folder("x.partial")))
    }
    do {
      let resumed = try IdfxWriter(path: folder("x"), codec: .raw, identity: [1])
      #expect(resumed.files.map(\.name) == ["a"])
    }
    let other = try IdfxWriter(path: folder("x"), codec: .raw, identity: [2])
    #expect(other.files.isEmpty && other.byteCount == 64)
  }

  @Test func neverFollowsALinkPutInPlaceOfThePartialFile() throws {
    let folder = try TemporaryFolder()
    try folder.write([1], to: "precious")
    try FileManager.default.createSymbolicLink(
      atPath: folder("x.partial"),
      withDestinationPath: folder("precious")
    )
    let error = #expect(throws: WeightFileError.self) {
      try IdfxWriter(path: folder("x"), codec: .raw, identity: [])
    }
    #expect(error?.kind == .inputOutput)
    #expect(try folder.read("precious") == [1])
  }
}

@Suite struct ChecksumTests {
  /// Values of the reference implementation, on inputs that take every path: tail bytes, words, stripes.
  static let samples: [(bytes: [UInt8], hash: UInt64)] = [
    ([], 0xef46_db37_51d8_e999),
    (Array("a".utf8), 0xd24e_c4f1_a98c_6e5b),
    (Array("abc".utf8), 0x44bc_2cf5_ad77_0999),
    (Array("xxhash".utf8), 0x32dd_3895_2c4b_c720),
    ((0..<100).map { UInt8($0) }, 0x6ac1_e580_3216_6597),
    (Array(String(repeating: "0123456789", count: 1000).utf8), 0x4313_472c_d025_fc68),
  ]

  @Test(arguments: samples)
  func isXXH64(_ bytes: [UInt8], _ expected: UInt64) {
    #expect(XXHash64.hash(bytes) == expected)
  }
}
