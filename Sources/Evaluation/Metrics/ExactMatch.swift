// When a short answer counts as right. Each rule is one sentence in `idefix eval exact --help`.

import Foundation

/// How an answer is compared with the expected ones.
public enum MatchRule: String, Sendable, CaseIterable, Codable {
  /// The same text, but for white space at the ends.
  case strict
  /// The same but for case, a leading article and a final full stop.
  case short
  /// The same set of things, parted by commas and "and", each compared as `short`.
  case set
  /// The first line is the expected text.
  case line

  /// Whether `answer` is one of `expected`.
  public func accepts(_ answer: String, expected: [String]) -> Bool {
    switch self {
    case .strict: expected.contains { Self.trimmed($0) == Self.trimmed(answer) }
    case .short: expected.contains { Self.shortened($0) == Self.shortened(answer) }
    case .set: expected.contains { Self.things(in: $0) == Self.things(in: answer) }
    case .line: expected.contains { Self.trimmed($0) == Self.firstLine(of: answer) }
    }
  }

  /// The first line that is not empty, trimmed.
  static func firstLine(of text: String) -> String {
    trimmed(text).split(whereSeparator: \.isNewline).first.map { trimmed(String($0)) } ?? ""
  }

  /// Things parted by commas and "and", shortened and sorted.
  private static func things(in text: String) -> [String] {
    text.replacing(/\band\b/, with: ",").split(separator: ",").map { shortened(String($0)) }
      .filter { !$0.isEmpty }.sorted()
  }

  private static func shortened(_ text: String) -> String {
    var result = trimmed(text).lowercased()
    while result.hasSuffix(".") { result.removeLast() }
    for article in ["a", "an", "the"] {
      let words = result.split(maxSplits: 1, whereSeparator: \.isWhitespace)
      if words.count == 2, words[0] == article { return String(words[1]) }
    }
    return result
  }

  private static func trimmed(_ text: String) -> String {
    text.trimmingCharacters(in: .whitespacesAndNewlines)
  }
}

/// The form that an answer should have, such as `-> {n}, {c}`: few-shot prompts ask for one.
public struct AnswerFormat: Sendable, Equatable {
  private enum Piece: Equatable {
    case literal(String)
    case words
    case word
  }

  private let pieces: [Piece]

  /// A format: `{c}` stands for one word, any other name in braces for words, the rest for itself.
  public init(_ format: String) {
    var pieces: [Piece] = []
    var rest = format[...]
    while let open = rest.firstIndex(of: "{"), let close = rest[open...].firstIndex(of: "}") {
      if open > rest.startIndex { pieces.append(.literal(String(rest[..<open]))) }
      pieces.append(rest[rest.index(after: open)..<close] == "c" ? .word : .words)
      rest = rest[rest.index(after: close)...]
    }
    if !rest.isEmpty { pieces.append(.literal(String(rest))) }
    self.pieces = pieces
  }

  /// Whether the first line of `answer` has this form, whatever it says.
  public func isFollowed(by answer: String) -> Bool {
    Self.matches(Array(MatchRule.firstLine(of: answer)), pieces[...])
  }

  /// Backtracking over where each placeholder ends; placeholders are few.
  private static func matches(_ text: [Character], _ pieces: ArraySlice<Piece>) -> Bool {
    guard let piece = pieces.first else { return text.isEmpty }
    switch piece {
    case .literal(let literal):
      let literal = Array(literal)
      return text.starts(with: literal)
        && matches(Array(text.dropFirst(literal.count)), pieces.dropFirst())
    case .word, .words:
      let run = text.prefix { character in
        character.isLetter || character.isNumber || character == "_"
          || (piece == .words && character.isWhitespace)
      }
      guard !run.isEmpty else { return false }
      return (1...run.count).reversed().contains {
        matches(Array(text.dropFirst($0)), pieces.dropFirst())
      }
    }
  }
}
