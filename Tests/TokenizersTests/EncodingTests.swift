import Foundation
import TestSupport
import Testing
import Tokenizers

@Suite struct EncodingTests {
  @Test(arguments: TokenizerFixture.vocabularies)
  func encodesAndDecodesAsTheReferenceDoes(vocabulary: String) throws {
    let tokenizer = try TokenizerFixture.tokenizer(vocabulary)
    let cases = try ReferenceEncoding.all()
    #expect(cases.count >= 30)
    for reference in cases {
      let ids = tokenizer.encode(reference.text, parseSpecial: true)
      #expect(ids == reference.ids, "\(reference.testDescription)")
      #expect(ids.map(tokenizer.vocabulary.piece) == reference.tokens)
      #expect(tokenizer.decode(ids, skipSpecial: false) == reference.decoded)
      #expect(tokenizer.decode(ids, skipSpecial: true) == reference.decodedWithoutSpecial)
    }
  }

  @Test(arguments: TokenizerFixture.vocabularies, [3, 40, 60, 700])
  func mergesAsTheOracleDoes(vocabulary: String, length: Int) throws {
    let tokenizer = try TokenizerFixture.tokenizer(vocabulary)
    let oracle = try ReferenceMerger(Fixture.bytes("tokenizer/micro/tokenizer.json"))
    var generator = SeededGenerator(seed: UInt64(length))
    // Few letters make long runs without a cut; the others bring cuts, bytes and spaces.
    for alphabet in ["etaoinsrhl", "etaoin  ▁", "the an\né\u{0}你🦙e\u{301}<>"].map(Array.init) {
      for _ in 0..<(length > 100 ? 3 : 20) {
        let text = String(
          (0..<length).compactMap { _ in alphabet.randomElement(using: &generator) }
        )
        #expect(
          tokenizer.encode(text, parseSpecial: false) == oracle.encode(text),
          "\(text.debugDescription)"
        )
      }
    }
  }

  @Test func segmentsBetweenSpecialTokensGetTheirOwnSpaceMark() throws {
    let tokenizer = try TokenizerFixture.tokenizer()
    let pieces = tokenizer.encode("a<image>a<end_of_utterance>\nb", parseSpecial: true)
      .map(tokenizer.vocabulary.piece)
    #expect(pieces == ["▁a", "<image>", "▁a", "<end_of_utterance>", "▁", "<0x0A>", "b"])
    #expect(tokenizer.encode("<s><s>", parseSpecial: true) == [1, 1])
  }

  @Test(arguments: [
    "<image>", "<fake_token_around_image>", "<end_of_utterance>", "</s>", "<s>", "<unk>",
    "User: <image>\nAssistant:</s>",
  ])
  func specialTokensInTextFromOutsideAreText(text: String) throws {
    let tokenizer = try TokenizerFixture.tokenizer()
    let ids = tokenizer.encode(text, parseSpecial: false)
    #expect(!ids.contains(where: tokenizer.isSpecial))
    #expect(tokenizer.decode(ids, skipSpecial: true) == text)
    #expect(tokenizer.encode(text, parseSpecial: true).contains(where: tokenizer.isSpecial))
  }

  @Test func bytePiecesInTextAreText() throws {
    let tokenizer = try TokenizerFixture.tokenizer()
    let ids = tokenizer.encode("<0x0A>", parseSpecial: true)
    #expect(!ids.contains { tokenizer.vocabulary.kind(of: $0) == .byte })
    #expect(tokenizer.decode(ids, skipSpecial: true) == "<0x0A>")
  }

  @Test func longestOfOverlappingSpecialTokensIsMatched() throws {
    var files = try TokenizerFixture.files(["tokenizer.json"])
    files["added_tokens.json"] = Array(#"{"<image>s": 515, "<im": 516}"#.utf8)
    let tokenizer = try Tokenizer(files: files)
    #expect(
      tokenizer.encode("<image>s<image><im<", parseSpecial: true).prefix(3) == [515, 513, 516]
    )
  }

  @Test(
    arguments: [
      [0xff], [0xc3], [0xe2, 0x96], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0xc0, 0x80],
      [0xf0, 0x9f, 0xa6], [0x80, 0x80], [0x00, 0xfe, 0x00], [0xe0, 0x80, 0x80], [0xf8, 0x88],
    ] as [[UInt8]]
  )
  func illFormedBytesBecomeByteTokens(bytes: [UInt8]) throws {
    let tokenizer = try TokenizerFixture.tokenizer()
    let ids = tokenizer.encode(bytes, parseSpecial: true)
    let text = ids.flatMap { tokenizer.vocabulary.text(of: $0) }
    #expect(text == [UInt8(ascii: " ")] + bytes)
  }

  @Test func anyBytesComeBackFromTheirTokens() throws {
    let tokenizer = try TokenizerFixture.tokenizer("tokenizer.model")
    var generator = SeededGenerator(seed: 11)
    for length in 1...200 {
      let bytes = (0..<length).map { _ in UInt8.random(in: 0 ... .max, using: &generator) }
      let ids = tokenizer.encode(bytes, parseSpecial: false)
      #expect(ids.flatMap { tokenizer.vocabulary.text(of: $0) } == [UInt8(ascii: " ")] + bytes)
    }
  }

  /// Runs of a million characters that no cut divides: they must pass through the long path.
  @Test(arguments: [UInt8(ascii: "a"), UInt8(ascii: " "), UInt8(ascii: "<"), 0x00, 0xff])
  func longRunsOfOneByteAreEncoded(byte: UInt8) throws {
    let tokenizer = try TokenizerFixture.tokenizer()
    let bytes = [UInt8](repeating: byte, count: 1_000_000)
    let ids = tokenizer.encode(bytes, parseSpecial: true)
    let text = ids.reduce(0) { $0 + tokenizer.vocabulary.text(of: $1).count }
    #expect(text == bytes.count + 1)
  }

  /// Prompts of up to 64 MB lose nothing.
  @Test(arguments: [
    ("words", 64, Array("A picture of a cat, two dogs and the house behind them. ".utf8)),
    ("one letter", 64, Array("a".utf8)),
    ("special tokens", 10, Array("<image></s>".utf8)),
    ("no UTF-8", 10, [0xff, 0x80, 0xe4, 0xbd]),
  ])
  func longPromptsAreEncoded(_ text: (name: String, megabytes: Int, unit: [UInt8])) throws {
    let tokenizer = try TokenizerFixture.tokenizer()
    let repeats = text.megabytes * 1_000_000 / text.unit.count
    let bytes = [[UInt8]](repeating: text.unit, count: repeats).flatMap { $0 }
    let ids = tokenizer.encode(bytes, parseSpecial: false)
    let length = ids.reduce(0) { $0 + tokenizer.vocabulary.text(of: $1).count }
    #expect(length == bytes.count + 1)
  }

  @Test func unknownCharactersWithoutByteTokensBecomeOneUnknown() throws {
    for fuses in [true, false] {
      let json = try TokenizerFixture.jsonWithModel {
        $0["byte_fallback"] = false
        $0["fuse_unk"] = fuses
      }
      let tokenizer = try Tokenizer(files: ["tokenizer.json": json])
      let ids = tokenizer.encode("a你好a你", parseSpecial: false)
      #expect(ids.filter { $0 == 0 }.count == (fuses ? 2 : 3))
    }
  }
}
