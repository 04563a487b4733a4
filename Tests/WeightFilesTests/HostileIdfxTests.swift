// Files that lie: every field of the directory wrong once with all checksums right, every byte cut off,
// every bit region flipped. A typed error each time; the whole file must be refused or found damaged.

import Foundation
import Tensors
import TestSupport
import Testing
import WeightFiles

@Suite struct HostileIdfxTests {
  @Test func theHandMadeFileIsGoodWhenNothingIsChanged() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(HandMadeIdfx().bytes, to: "x.idfx")
    let file = try IdfxFile.open(path)
    #expect(try file.dense("a").values == [1, 2])
    #expect(try file.embeddedFile("config.json") == Array("{}".utf8))
    #expect(try file.verify())
  }

  @Test(arguments: HostileIdfx.all)
  func refuses(_ hostile: HostileIdfx) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(hostile.bytes, to: "x.idfx")
    let error = #expect(throws: WeightFileError.self) { try IdfxFile.open(path) }
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
    // One raw byte in a frame that ends with a checksum of its own, which is wrong.
    let checksum: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0x24, 1, 9, 0, 0, 7, 1, 2, 3, 4]
    #expect(throws: ZstdCodec.Failure.self) { try decode(checksum, into: 1) }
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
