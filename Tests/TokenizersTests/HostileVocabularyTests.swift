import TestSupport
import Testing
import Tokenizers

/// Vocabulary files that lie: each is refused with an error, never with a trap.
@Suite struct HostileVocabularyTests {
  @Test(arguments: TokenizerFixture.vocabularies)
  func everyTruncationIsRefused(name: String) throws {
    let whole = try Fixture.bytes("tokenizer/micro/" + name)
    let end = (whole.lastIndex { !" \n".utf8.contains($0) } ?? 0) + 1
    for count in 0..<end {
      #expect(throws: TokenizerError.self, "\(count) bytes") {
        try Tokenizer(files: [name: Array(whole[..<count])])
      }
    }
  }

  /// Any result will do that is a tokenizer or an error, and the tokenizer must work.
  @Test(arguments: TokenizerFixture.vocabularies, [UInt64(1), 2, 3])
  func changedBytesNeverTrap(name: String, seed: UInt64) throws {
    let whole = try Fixture.bytes("tokenizer/micro/" + name)
    var generator = SeededGenerator(seed: seed)
    var refused = 0
    for _ in 0..<400 {
      var bytes = whole
      for _ in 0..<Int.random(in: 1...4, using: &generator) {
        let index = Int.random(in: bytes.indices, using: &generator)
        bytes[index] = UInt8.random(in: 0 ... .max, using: &generator)
      }
      guard let tokenizer = try? Tokenizer(files: [name: bytes]) else {
        refused += 1
        continue
      }
      let ids = tokenizer.encode("Hello <image> 你\u{0}", parseSpecial: true)
      _ = tokenizer.decode(ids, skipSpecial: false)
    }
    #expect(refused > 0)
  }

  @Test(arguments: TokenizerFixture.vocabularies)
  func randomBytesAreRefused(name: String) {
    var generator = SeededGenerator(seed: 9)
    for length in 0..<300 {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0 ... .max, using: &generator) }
      #expect(throws: TokenizerError.self) { try Tokenizer(files: [name: bytes]) }
    }
  }

  @Test(
    arguments: [
      ("length 2^31", [0x0a, 0x80, 0x80, 0x80, 0x80, 0x08]),
      ("length 2^63", [0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]),
      ("length 2^64 - 1", [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]),
      ("integer of 65 bits", [0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
      ("integer without end", [UInt8](repeating: 0xff, count: 100)),
      ("inner length past the piece", [0x0a, 0x02, 0x0a, 0x7f, 0x61]),
      ("piece as integer", [0x08, 0x01]),
      ("piece text as integer", [0x0a, 0x02, 0x08, 0x01]),
      ("score as integer", [0x0a, 0x02, 0x10, 0x01]),
      ("score cut short", [0x0a, 0x03, 0x15, 0x00, 0x00]),
      ("type as float", [0x0a, 0x05, 0x1d, 0, 0, 0, 0]),
      ("group", [0x0b, 0x0c]),
      ("wire type 6", [0x0e]),
      ("field 0", [0x00, 0x00]),
      ("fixed64 cut short", [0x21, 0x00]),
      ("settings as integer", [0x10, 0x02]),
      ("nothing", []),
    ] as [(String, [UInt8])]
  )
  func liesInTheWireFormatAreRefused(name: String, bytes: [UInt8]) {
    #expect(throws: TokenizerError.self, "\(name)") {
      try Tokenizer(files: ["tokenizer.model": bytes])
    }
  }

  /// One change each to a file that is accepted without it.
  @Test(
    arguments: [
      ("as it should be", SentencePieceDraft(), true),
      ("no unknown piece", SentencePieceDraft(unknownType: 1), false),
      ("two equal pieces", SentencePieceDraft(extra: ("a", -1, 1)), false),
      ("empty piece", SentencePieceDraft(extra: ("", -1, 1)), false),
      ("score not a number", SentencePieceDraft(extra: ("b", .nan, 1)), false),
      ("infinite score", SentencePieceDraft(extra: ("b", .infinity, 1)), false),
      ("user-defined piece", SentencePieceDraft(extra: ("b", 0, 4)), false),
      ("unused piece", SentencePieceDraft(extra: ("b", 0, 5)), false),
      ("type 2^63", SentencePieceDraft(extra: ("b", 0, 1 << 63)), false),
      ("byte piece that spells none", SentencePieceDraft(extra: ("<0xG0>", 0, 6)), false),
      (
        "piece of 257 bytes", SentencePieceDraft(extra: (String(repeating: "b", count: 257), 0, 1)),
        false
      ),
      ("unigram", SentencePieceDraft(modelType: 1), false),
      ("bytes without byte pieces", SentencePieceDraft(usesBytes: true), false),
      ("shortened spaces", SentencePieceDraft(removesExtraSpaces: true), false),
    ])
  func draftsAreAcceptedOnlyWhole(name: String, draft: SentencePieceDraft, isGood: Bool) throws {
    let files = ["tokenizer.model": draft.bytes]
    guard isGood else {
      #expect(throws: TokenizerError.self, "\(name)") { try Tokenizer(files: files) }
      return
    }
    #expect(try Tokenizer(files: files).encode("a", parseSpecial: false) == [0, 3])
  }
}

/// A small SentencePiece model, written with whatever the test wants wrong in it.
struct SentencePieceDraft: Sendable {
  var unknownType: UInt64 = 2
  var extra: (text: String, score: Float, type: UInt64)?
  var modelType: UInt64 = 2
  var usesBytes = false
  var removesExtraSpaces = false

  /// The file.
  var bytes: [UInt8] {
    var pieces: [(String, Float, UInt64)] = [
      ("<unk>", 0, unknownType), ("<s>", 0, 3), ("</s>", 0, 3), ("a", 0, 1),
    ]
    if let extra { pieces.append(extra) }
    let messages = pieces.map { text, score, type in
      let scoreBytes = (0..<4).map { UInt8(truncatingIfNeeded: score.bitPattern >> (8 * $0)) }
      return field(1, field(1, Array(text.utf8)) + [0x15] + scoreBytes + [0x18] + varint(type))
    }
    let trainer = [0x18] + varint(modelType) + varint(35 << 3) + [usesBytes ? 1 : 0]
    let normalizer: [UInt8] = [0x18, 1, 0x20, removesExtraSpaces ? 1 : 0]
    return messages.flatMap { $0 } + field(2, trainer) + field(3, normalizer)
  }

  private func field(_ number: UInt64, _ contents: [UInt8]) -> [UInt8] {
    varint(number << 3 | 2) + varint(UInt64(contents.count)) + contents
  }

  private func varint(_ value: UInt64) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    return bytes + [UInt8(rest)]
  }
}
