// How tokens are shown to callers: their own text and their alternatives.

import Tokenizers

/// Names tokens.
package struct TokenReporter: Sendable {
  /// Every token.
  package let vocabulary: Vocabulary

  /// A reporter for one vocabulary.
  package init(vocabulary: Vocabulary) { self.vocabulary = vocabulary }

  /// A token's own text; special tokens by name.
  package func text(of token: Int32) -> String {
    vocabulary.kind(of: token) == .special
      ? vocabulary.piece(of: token) : String(decoding: vocabulary.text(of: token), as: UTF8.self)
  }

  /// Whether a token is special.
  package func isSpecial(_ token: Int32) -> Bool { vocabulary.kind(of: token) == .special }

  /// Alternatives as callers see them.
  package func named(_ tokens: [(id: Int32, logprob: Float)]) -> [TokenLogprob] {
    tokens.map { TokenLogprob(id: $0.id, text: text(of: $0.id), logprob: $0.logprob) }
  }

  /// The score of a prompt token, given the logits before it.
  package func score(
    _ token: Int32,
    logits: [Float],
    top: Int,
    reportsDistribution: Bool
  )
    -> ScoredToken
  {
    let total = ScoreMath.logSumExp(logits)
    return ScoredToken(
      id: token,
      text: text(of: token),
      logprob: Float(Double(logits[Int(token)]) - total),
      top: named(
        TopSelection.largest(top, of: logits).map {
          (id: Int32($0), logprob: Float(Double(logits[$0]) - total))
        }
      ),
      distribution: reportsDistribution ? logits.map { Float(Double($0) - total) } : []
    )
  }
}
