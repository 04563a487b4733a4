import Idefix
import TestSupport
import Testing

@Suite struct StopMatcherTests {
  /// The first end of a stop string in `text`, the plain way.
  private func firstEnd(of strings: [String], in text: [UInt8]) -> (end: Int, length: Int)? {
    for end in 0...text.count {
      let lengths = strings.map { Array($0.utf8) }
        .filter { text[..<end].suffix($0.count).elementsEqual($0) }.map(\.count)
      if let longest = lengths.max() { return (end, longest) }
    }
    return nil
  }

  /// Bytes at the end of `text` that are the beginning of a stop string, the plain way.
  private func pending(of strings: [String], in text: ArraySlice<UInt8>) -> Int {
    (0...text.count).last { length in
      strings.contains { Array($0.utf8).prefix(length).elementsEqual(text.suffix(length)) }
    } ?? 0
  }

  @Test func agreesWithPlainSearchOnRandomText() {
    var generator = SeededGenerator(seed: 11)
    func word(_ lengths: ClosedRange<Int>) -> String {
      let count = Int.random(in: lengths, using: &generator)
      return String((0..<count).map { _ in Bool.random(using: &generator) ? "a" : "b" })
    }
    for _ in 0..<300 {
      let strings = (0..<Int.random(in: 1...4, using: &generator)).map { _ in word(1...5) }
      let text = Array(word(0...20).utf8)
      var matcher = StopMatcher(strings)
      var found: (end: Int, length: Int)?
      for (index, byte) in text.enumerated() {
        if let match = matcher.consume(byte) {
          found = (index + 1, match.length)
          #expect(strings[match.index].utf8.count == match.length)
          break
        }
        #expect(matcher.pending == pending(of: strings, in: text[...index]), "\(strings) \(text)")
      }
      let expected = firstEnd(of: strings, in: text)
      #expect(found?.end == expected?.end && found?.length == expected?.length)
    }
  }

  @Test func noStopStringsNeverMatch() {
    var matcher = StopMatcher([])
    for byte in Array("anything".utf8) { #expect(matcher.consume(byte) == nil) }
    #expect(matcher.pending == 0)
  }
}
