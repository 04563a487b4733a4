// Perplexity from sums of log-probabilities, and how a text is cut into what a model can see at once.

import Foundation

/// What a stretch of text adds to a perplexity.
public struct LikelihoodSum: Sendable, Equatable, Codable {
  /// Sum of the natural log-probabilities.
  public var logprob = 0.0
  /// Tokens predicted.
  public var tokens = 0
  /// Words: stretches of white space and one.
  public var words = 0
  /// UTF-8 bytes.
  public var bytes = 0

  /// A sum of nothing yet.
  public init() {}

  /// Adds another stretch.
  public static func += (left: inout LikelihoodSum, right: LikelihoodSum) {
    left.logprob += right.logprob
    left.tokens += right.tokens
    left.words += right.words
    left.bytes += right.bytes
  }
}

/// A stretch of tokens to score: `predicted` last tokens of `tokens`, each given what precedes it.
public struct ScoringWindow: Sendable, Equatable {
  /// What the model sees, the predicted tokens included.
  public var tokens: [Int32]
  /// How many of the last tokens count.
  public var predicted: Int

  /// Consecutive windows of `size` tokens that do not overlap, each with a prefix token of its own.
  ///
  /// `tokens` are the whole text without the prefix token; `size` is at least 2.
  public static func fixed(_ tokens: [Int32], prefix: Int32, size: Int) -> [ScoringWindow] {
    stride(from: 0, to: tokens.count, by: size - 1).map { start in
      let part = tokens[start..<min(start + size - 1, tokens.count)]
      return ScoringWindow(tokens: [prefix] + part, predicted: part.count)
    }
  }

  /// Windows that predict every token of a document once, the last with as much context as fits.
  ///
  /// As lm-evaluation-harness does it with a context of one token: the first window predicts the first
  /// `length` tokens after the prefix token, each later one the next `length`, and the last is moved
  /// back so that it is as long as the others. The model sees one token more than a window predicts.
  public static func rolling(_ tokens: [Int32], prefix: Int32, length: Int) -> [ScoringWindow] {
    guard !tokens.isEmpty else { return [] }
    let first = min(length, tokens.count)
    var windows = [ScoringWindow(tokens: [prefix] + tokens[..<first], predicted: first)]
    var done = first
    while done < tokens.count {
      let count = min(tokens.count - done, length)
      let end = done + count
      windows.append(
        ScoringWindow(tokens: Array(tokens[(end - length - 1)..<end]), predicted: count)
      )
      done = end
    }
    return windows
  }
}

/// Perplexities of summed likelihoods.
public enum Perplexity {
  /// `exp` of the mean negative log-probability of a token.
  public static func perToken(_ sum: LikelihoodSum) -> Double {
    exp(-sum.logprob / Double(sum.tokens))
  }

  /// Words of a document as lm-evaluation-harness counts them: stretches of white space and one.
  public static func words(in document: String) -> Int {
    var count = 1
    var inSpace = false
    for scalar in document.unicodeScalars {
      let isSpace = scalar.properties.isWhitespace || (0x1c...0x1f).contains(scalar.value)
      if isSpace, !inSpace { count += 1 }
      inSpace = isSpace
    }
    return count
  }
}
