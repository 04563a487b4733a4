// The text of one answer as it grows: tokens to characters, characters to what may be shown. Holds back incomplete
// characters and whatever may still become a stop string.

import Tokenizers

/// Assembles one answer's text.
package struct AnswerText: Sendable {
  private var detokenizer: StreamingDetokenizer
  private var matcher: StopMatcher
  private let stops: [String]
  private let keepsStopString: Bool
  private var held: [UInt8] = []
  /// The text given out so far.
  package private(set) var text = ""
  /// The stop string that was met.
  package private(set) var stopString: String?

  /// An empty answer.
  package init(vocabulary: Vocabulary, stops: [String], keepsStopString: Bool) {
    detokenizer = StreamingDetokenizer(vocabulary, skipSpecial: true, continuesText: true)
    matcher = StopMatcher(stops)
    self.stops = stops
    self.keepsStopString = keepsStopString
  }

  /// Takes a token; the text it makes final.
  ///
  /// Afterwards `stopString` tells whether the answer ends.
  package mutating func append(_ token: Int32) -> String { take(detokenizer.append(token)) }

  /// Ends the answer; the text that was held back.
  package mutating func finish() -> String {
    guard stopString == nil else { return "" }
    let last = take(detokenizer.finish())
    guard stopString == nil else { return last }
    return last + emit(held.count)
  }

  private mutating func take(_ delta: String) -> String {
    guard stopString == nil else { return "" }
    for byte in delta.utf8 {
      held.append(byte)
      guard let match = matcher.consume(byte) else { continue }
      stopString = stops[match.index]
      return emit(keepsStopString ? held.count : held.count - match.length)
    }
    // A stop string that stays in the answer need not be waited for.
    return emit(keepsStopString ? held.count : held.count - matcher.pending)
  }

  /// Gives out the first `count` held bytes.
  private mutating func emit(_ count: Int) -> String {
    let out = String(decoding: held.prefix(count), as: UTF8.self)
    held.removeFirst(count)
    text += out
    return out
  }
}
