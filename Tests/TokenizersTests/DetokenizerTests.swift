import TestSupport
import Testing
import Tokenizers

@Suite struct DetokenizerTests {
  /// Tokens of bytes.
  private func ids(_ bytes: [UInt8]) -> [TokenID] { bytes.map { TokenID($0) + 3 } }

  @Test(arguments: [true, false])
  func streamedTextIsTheDecodedText(skipSpecial: Bool) throws {
    let tokenizer = try TokenizerFixture.tokenizer()
    var generator = SeededGenerator(seed: 5)
    for length in 0..<400 {
      // Mostly bytes of long characters, with text, special and unknown tokens among them.
      let ids = (0..<length).map { _ in
        switch UInt8.random(in: 0..<8, using: &generator) {
        case 0: TokenID.random(in: -2..<520, using: &generator)
        case 1: TokenID.random(in: 259..<515, using: &generator)
        case 2...4: TokenID.random(in: (3 + 0xe0)...(3 + 0xf4), using: &generator)
        default: TokenID.random(in: (3 + 0x80)...(3 + 0xbf), using: &generator)
        }
      }
      var stream = StreamingDetokenizer(tokenizer.vocabulary, skipSpecial: skipSpecial)
      let streamed = ids.map { stream.append($0) }.joined() + stream.finish()
      #expect(Array(streamed.utf8) == Array(tokenizer.decode(ids, skipSpecial: skipSpecial).utf8))
    }
  }

  @Test func charactersComeOutWhole() throws {
    let tokenizer = try TokenizerFixture.tokenizer()
    let text = "é你🦙"
    var stream = StreamingDetokenizer(tokenizer.vocabulary, skipSpecial: true)
    let pieces = ids(Array(text.utf8)).map { stream.append($0) }
    #expect(pieces == ["", "é", "", "", "你", "", "", "", "🦙"])
    #expect(stream.finish().isEmpty)
  }

  @Test(
    arguments: [
      ([0xe4, 0xbd], "\u{fffd}\u{fffd}"),
      ([0xe4, 0xbd, 0x41], "\u{fffd}\u{fffd}A"),
      ([0xe4, 0xc3, 0xa9], "\u{fffd}é"),
      ([0xff, 0x41, 0x80], "\u{fffd}A\u{fffd}"),
      ([0xed, 0xa0, 0x80], "\u{fffd}\u{fffd}\u{fffd}"),
      ([0xf4, 0x90, 0x80, 0x80], "\u{fffd}\u{fffd}\u{fffd}\u{fffd}"),
      ([0xc0, 0x80], "\u{fffd}\u{fffd}"),
      ([0xf0, 0x9f, 0xa6, 0xf0, 0x9f, 0xa6, 0x99], "\u{fffd}\u{fffd}\u{fffd}🦙"),
      ([0x00, 0x0a], "\u{0}\n"),
    ] as [([UInt8], String)]
  )
  func bytesThatAreNoCharacterBecomeOneReplacementEach(bytes: [UInt8], text: String) throws {
    let tokenizer = try TokenizerFixture.tokenizer()
    #expect(tokenizer.decode(ids(bytes), skipSpecial: true) == text)
  }

  @Test func textEndsAnIncompleteCharacterAndSkippedTokensDoNot() throws {
    let tokenizer = try TokenizerFixture.tokenizer()
    let image = try #require(tokenizer.specialTokens.image)
    let split = ids([0xc3]) + [image] + ids([0xa9])
    #expect(tokenizer.decode(split, skipSpecial: true) == "é")
    #expect(tokenizer.decode(split, skipSpecial: false) == "\u{fffd}<image>\u{fffd}")
    #expect(tokenizer.decode(split + [99_999, -1, .max, .min], skipSpecial: true) == "é")
  }

  @Test func onlyTheFirstSpaceOfATextIsDropped() throws {
    let tokenizer = try TokenizerFixture.tokenizer()
    let ids = tokenizer.encode("a a", parseSpecial: false)
    #expect(tokenizer.decode(ids, skipSpecial: true) == "a a")
    #expect(tokenizer.decode([1] + ids, skipSpecial: true) == "a a")
    #expect(tokenizer.decode([1] + ids, skipSpecial: false) == "<s> a a")
    var stream = StreamingDetokenizer(tokenizer.vocabulary, skipSpecial: true, continuesText: true)
    #expect(stream.append(contentsOf: ids) == " a a")
  }
}
