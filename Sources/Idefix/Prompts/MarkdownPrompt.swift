// Prompts in which images stand as markdown without alternative text, `![](REFERENCE)`, as text-generation-inference
// has them. Only finds the places; what a reference means, and whether it may be fetched, is for the caller to say.

/// Splits markdown text at its images.
public enum MarkdownPrompt {
  /// One stretch of the text.
  public enum Piece: Sendable, Equatable {
    /// Text, verbatim.
    case text(String)
    /// What stands between the parentheses of `![](…)`.
    case image(String)
  }

  /// The pieces of `text` in order; empty texts are left out.
  ///
  /// Same matches as the regular expression `!\[\]\([^\)]*\)`: a `)` ends the reference, alternative
  /// text is not recognised.
  public static func pieces(of text: String) -> [Piece] {
    let opening = Array("![](".utf8)
    let bytes = Array(text.utf8)
    var pieces: [Piece] = []
    var textStart = 0
    func string(_ range: Range<Int>) -> String { String(decoding: bytes[range], as: UTF8.self) }
    var index = 0
    // The last `)` bounds the search, so that unclosed openings cost no second scan.
    let lastClosing = bytes.lastIndex(of: UInt8(ascii: ")")) ?? -1
    while index + opening.count <= lastClosing {
      guard bytes[index] == opening[0],
        bytes[index..<(index + opening.count)].elementsEqual(opening),
        let closing = bytes[(index + opening.count)...].firstIndex(of: UInt8(ascii: ")"))
      else {
        index += 1
        continue
      }
      if textStart < index { pieces.append(.text(string(textStart..<index))) }
      pieces.append(.image(string((index + opening.count)..<closing)))
      index = closing + 1
      textStart = index
    }
    if textStart < bytes.count { pieces.append(.text(string(textStart..<bytes.count))) }
    return pieces
  }
}
