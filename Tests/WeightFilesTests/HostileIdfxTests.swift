// Files that lie: every field of the directory wrong once with all checksums right, every byte cut off,
// every bit region flipped. A typed error each time; the whole file must be refused or found damaged.

import Foundation
import Tensors
import TestSupport
import Testing
import WeightFiles

/// A hand-made file and a part of the sentence that must say what is wrong.
struct HostileFile: Sendable, CustomTestStringConvertible {
  let name: String
  let bytes: [UInt8]
  let says: String
  var testDescription: String { name }

  init(_ name: String, _ says: String, _ change: (inout HandMadeIdfx) -> Void) {
    var file = HandMadeIdfx()
    change(&file)
    self.name = name
    self.says = says
    bytes = file.bytes
  }

  static let all: [HostileFile] = [
    HostileFile("version 2", "format version 2") { $0.version = 2 },
    HostileFile("version 2^32 - 1", "format version 4294967295") { $0.version = Int(UInt32.max) },
    HostileFile("source count", "number of sources") { $0.sourceCount = Int(UInt32.max) },
    HostileFile("file count", "number of embedded files") { $0.fileCount = Int(UInt32.max) },
    HostileFile("tensor count", "number of tensors") { $0.tensorCount = Int(UInt32.max) },
    HostileFile("more tensors than there are", "more than the bytes") { $0.tensorCount = 9 },
    HostileFile("fewer tensors than there are", "after its last tensor") { $0.tensorCount = 0 },
    HostileFile("bytes after the directory", "after its last tensor") { $0.extra = [0] },
    HostileFile("two tensors of one name", "two tensors called") {
      $0.repeats = 2
      $0.tensorCount = 2
    },
    HostileFile("path as a name", "unsafe name") { $0.fileName = "../config.json" },
    HostileFile("empty name", "unsafe name") { $0.fileName = "" },
    HostileFile("NUL in a name", "unsafe name") { $0.fileName = "a\0b" },
    HostileFile("embedded file of 2^63", "the size of") { $0.fileSize = 1 << 63 },
    HostileFile("embedded file of 1 GiB", "the size of") { $0.fileSize = 1 << 30 },
    HostileFile("embedded file of another size", "cannot be right") { $0.fileSize = 3 },
    HostileFile("unknown codec of a file", "unknown block codec 7") { $0.fileCodec = 7 },
    HostileFile("name that is not UTF-8", "not UTF-8") { $0.tensorName = [0xff] },
    HostileFile("nine dimensions", "with 9 dimensions") {
      $0.rank = 9
      $0.dimensions = [UInt64](repeating: 1, count: 9)
    },
    HostileFile("255 dimensions", "with 255 dimensions") { $0.rank = 255 },
    HostileFile("zero dimension", "zero dimension") { $0.dimensions = [0] },
    HostileFile("dimension of 2^64 - 1", "a dimension is") { $0.dimensions = [.max] },
    HostileFile("dimension product overflow", "overflow") {
      $0.rank = 2
      $0.dimensions = [1 << 40, 1 << 40]
    },
    HostileFile("2^40 elements", "before its last block") { $0.dimensions = [1 << 40] },
    HostileFile("2^20 by 2^21 elements", "too large") {
      $0.rank = 2
      $0.dimensions = [1 << 20, 1 << 21]
    },
    HostileFile("unknown encoding", "unknown encoding 6") { $0.encoding = 6 },
    HostileFile("packed vector", "no matrix") { $0.encoding = 2 },
    HostileFile("rows longer than a block", "too large") {
      $0.encoding = 1
      $0.rank = 2
      $0.dimensions = [1, 1 << 30]
    },
    HostileFile("codebook with -128", "invalid codebook") {
      $0.encoding = 4
      $0.rank = 2
      $0.dimensions = [1, 32]
      $0.codebook = [-128] + (-7...7).map { Int8($0) }
    },
    HostileFile("codebook that does not ascend", "invalid codebook") {
      $0.encoding = 5
      $0.rank = 2
      $0.dimensions = [1, 32]
      $0.codebook = (0..<16).map { Int8(16 - $0) }
    },
    HostileFile("unknown codec", "unknown block codec 2") { $0.codec = 2 },
    HostileFile("error that is NaN", "not a number") { $0.energies = [1, .nan] },
    HostileFile("negative error", "not a number") { $0.energies = [1, -1] },
    HostileFile("infinite energy", "not a number") { $0.energies = [.infinity, 0] },
    HostileFile("raw block of another size", "cannot be right") { $0.storedSizes = [9] },
    HostileFile("zstd block beyond the bound", "cannot be right") {
      $0.codec = 1
      $0.storedSizes = [5 << 20]
    },
    HostileFile("empty zstd block", "cannot be right") {
      $0.codec = 1
      $0.storedSizes = [0]
    },
    HostileFile("block that is not there", "do not end where") {
      $0.dimensions = [100]
      $0.storedSizes = [400]
    },
    HostileFile("bytes between blocks and directory", "do not end where") { $0.blocksShift = 64 },
    HostileFile("directory offset", "does not lie before") { $0.directoryShift = 8 },
    HostileFile("negative directory offset", "does not lie before") {
      $0.directoryShift = -1_000_000
    },
  ]
}

@Suite struct HostileIdfxTests {
  @Test func theHandMadeFileIsGoodWhenNothingIsChanged() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(HandMadeIdfx().bytes, to: "x.idfx")
    let file = try IdfxFile.open(path)
    #expect(try file.dense("a").values == [1, 2])
    #expect(try file.embeddedFile("config.json") == Array("{}".utf8))
    #expect(try file.verify())
  }

  @Test(arguments: HostileFile.all)
  func refuses(_ hostile: HostileFile) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(hostile.bytes, to: "x.idfx")
    let started = ContinuousClock.now
    let error = #expect(throws: WeightFileError.self) { try IdfxFile.open(path) }
    #expect(started.duration(to: .now) < .seconds(1))
    let sentence = error?.description ?? ""
    #expect(sentence.hasPrefix(path) && sentence.contains(hostile.says), "\(sentence)")
    #expect(error?.kind == .badData)
  }

  @Test func everyTruncationIsRefused() throws {
    let folder = try TemporaryFolder()
    var hand = HandMadeIdfx()
    hand.fileCodec = 1
    hand.fileBlock = try compressed(Array("{}".utf8))
    hand.codec = 1
    hand.blocks = [try compressed(hand.blocks[0])]
    let whole = hand.bytes
    #expect(try IdfxFile.open(try folder.write(whole, to: "x.idfx")).verify())
    for count in 0..<whole.count {
      let path = try folder.write(Array(whole.prefix(count)), to: "cut.idfx")
      #expect(throws: WeightFileError.self, "\(count)") { try IdfxFile.open(path) }
    }
  }

  @Test(arguments: BlockCodec.allCases)
  func everyFlippedBitIsFound(_ codec: BlockCodec) throws {
    let folder = try TemporaryFolder()
    var hand = HandMadeIdfx()
    if codec == .zstd {
      hand.fileCodec = 1
      hand.fileBlock = try compressed(hand.fileBlock)
      hand.codec = 1
      hand.blocks = [try compressed(hand.blocks[0])]
    }
    let whole = hand.bytes
    // Padding is long in a raw file: there, a flip every 61 bytes and at every byte that is not zero.
    for index in whole.indices where codec == .zstd || whole[index] != 0 || index % 61 == 0 {
      var damaged = whole
      damaged[index] ^= 1 << UInt8(index % 8)
      let path = try folder.write(damaged, to: "x.idfx")
      #expect(throws: WeightFileError.self, "byte \(index)") { try IdfxFile.open(path).verify() }
    }
  }

  @Test func aDamagedBlockIsFoundWhenItIsDecoded() throws {
    let folder = try TemporaryFolder()
    var hand = HandMadeIdfx()
    hand.codec = 1
    hand.blocks = [try compressed(hand.blocks[0])]
    var bytes = hand.bytes
    // The tensor's block is the first at a multiple of 64 after the embedded file's page.
    bytes[4096 + 64 + 9] ^= 1
    let file = try IdfxFile.open(try folder.write(bytes, to: "x.idfx"))
    let error = #expect(throws: WeightFileError.self) { try file.dense("a") }
    #expect(error?.description.contains("block 0") == true)
  }

  @Test func aFileThatShrinksIsNotRead() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(HandMadeIdfx().bytes, to: "x.idfx")
    for access in [IdfxAccess.mapped, .copied] {
      try folder.write(HandMadeIdfx().bytes, to: "x.idfx")
      let file = try IdfxFile.open(path, access: access)
      #expect(truncate(path, 100) == 0)
      let error = #expect(throws: WeightFileError.self) { try file.dense("a") }
      #expect(error == .changed(path: path))
    }
  }

  private func compressed(_ bytes: [UInt8]) throws -> [UInt8] {
    let codec = ZstdCodec()
    return try bytes.withUnsafeBytes { try codec.compress($0) }
  }
}

@Suite struct ZstdCodecTests {
  private func compressed(_ bytes: [UInt8]) throws -> [UInt8] {
    let codec = ZstdCodec()
    return try bytes.withUnsafeBytes { try codec.compress($0) }
  }

  private func decode(_ frame: [UInt8], into count: Int) throws -> [UInt8] {
    let codec = ZstdCodec()
    var output = [UInt8](repeating: 0, count: count)
    try frame.withUnsafeBytes { frame in
      try output.withUnsafeMutableBytes { try codec.decompress(frame, into: $0) }
    }
    return output
  }

  @Test(arguments: [0, 1, 100, 70_000, 4 << 20])
  func roundTrips(_ count: Int) throws {
    var random = SeededGenerator(seed: 3)
    let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() & 15) }
    #expect(try decode(try compressed(bytes), into: count) == bytes)
  }

  @Test func refusesFramesThatAreNotWhatTheDirectorySays() throws {
    let good = try compressed([UInt8](repeating: 7, count: 1000))
    #expect(try decode(good, into: 1000).count == 1000)
    // Another size than stated, in both directions; a bomb is the first of these.
    for count in [0, 1, 999, 1001] {
      #expect(throws: ZstdCodec.Failure.self) { try decode(good, into: count) }
    }
    for cut in 0..<good.count {
      #expect(throws: ZstdCodec.Failure.self) { try decode(Array(good.prefix(cut)), into: 1000) }
    }
    let skippable: [UInt8] = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]
    for frame in [good + [0], good + good, good + skippable, skippable + good, skippable] {
      #expect(throws: ZstdCodec.Failure.self) { try decode(frame, into: 1000) }
    }
    var dictionary = good
    dictionary[4] |= 1
    #expect(throws: ZstdCodec.Failure.self) { try decode(dictionary, into: 1000) }
  }

  @Test func refusesLargeWindowsAndUnknownSizes() throws {
    // Magic, descriptor without single segment and without content size, window 2^31, empty last block.
    let window: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00]
    #expect(throws: ZstdCodec.Failure(reason: "has a window of more than 8 MiB")) {
      try decode(window, into: 0)
    }
    // The same with a window of 1 KiB: the size is not stated.
    let unknown: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x00, 0x01, 0x00, 0x00]
    #expect(throws: ZstdCodec.Failure(reason: "does not state the size that the directory gives")) {
      try decode(unknown, into: 0)
    }
  }
}
