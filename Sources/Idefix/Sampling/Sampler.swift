// Draws one token from a row of logits and reports its log-probability: penalties, bars, constraint, filters,
// then the most probable token (greedy) or one uniform number against the cumulative distribution in id order.

/// A drawn token.
package struct SampledToken: Sendable, Equatable {
  /// Token id.
  package var id: Int32
  /// Its log-probability on the requested basis.
  package var logprob: Float
  /// Alternatives asked for, best first.
  package var top: [(id: Int32, logprob: Float)]

  package static func == (a: SampledToken, b: SampledToken) -> Bool {
    a.id == b.id && a.logprob == b.logprob && a.top.elementsEqual(b.top, by: ==)
  }
}

/// Chooses the tokens of one answer.
package struct Sampler: Sendable {
  private let options: SamplingOptions
  private var processors: LogitsProcessors
  private let random: RandomStream

  /// A sampler for one answer of a request.
  package init(options: SamplingOptions, processors: LogitsProcessors, random: RandomStream) {
    self.options = options
    self.processors = processors
    self.random = random
  }

  /// Takes note of a token that was taken into the answer.
  package mutating func accept(_ token: Int32) { processors.accept(token) }

  /// Draws the token for place `position` of the answer.
  ///
  /// - Parameters:
  ///   - logits: `[vocabulary]`, as the model made them.
  ///   - position: Place in the answer; the random number depends on it.
  ///   - mask: Bars tokens that a constraint does not allow.
  /// - Returns: The token, with what is to be reported of it.
  /// - Throws: `deadEnd` if no token is left, `internalFailure` if a logit is no number.
  package func draw(
    _ logits: [Float],
    at position: Int,
    mask: (inout [Float]) -> Void = { _ in }
  ) throws(EngineError) -> SampledToken {
    guard logits.allSatisfy({ $0 < .infinity }) else {
      throw .internalFailure(reason: "the model produced a score that is no number")
    }
    let scores = processed(logits, mask: mask)
    let basis = options.logprobBasis == .model ? logits : scores
    let total = ScoreMath.logSumExp(basis)
    guard let largest = scores.max(), largest > -.infinity else { throw .deadEnd }
    let id = options.isGreedy ? firstIndex(of: largest, in: scores) : pick(scores, at: position)
    return SampledToken(
      id: Int32(id),
      logprob: Float(Double(basis[id]) - total),
      top: TopSelection.largest(options.logprobs ?? 0, of: basis).map {
        (id: Int32($0), logprob: Float(Double(basis[$0]) - total))
      }
    )
  }

  /// Scores after every processor: what is drawn from.
  package func processed(_ logits: [Float], mask: (inout [Float]) -> Void = { _ in }) -> [Float] {
    var scores = logits
    processors.penalize(&scores)
    mask(&scores)
    processors.filter(&scores)
    return scores
  }

  private func firstIndex(of largest: Float, in scores: [Float]) -> Int {
    scores.firstIndex(of: largest) ?? 0
  }

  private func pick(_ scores: [Float], at position: Int) -> Int {
    let largest = Double(scores.max() ?? 0)
    var weights = [Double](repeating: 0, count: scores.count)
    var sum = 0.0
    for (index, score) in scores.enumerated() where score > -.infinity {
      weights[index] = ScoreMath.exp(Double(score) - largest)
      sum += weights[index]
    }
    // The first token whose cumulative sum exceeds the target.
    let target = random.uniform(at: position) * sum
    var cumulative = 0.0
    var last = 0
    for (index, weight) in weights.enumerated() where weight > 0 {
      cumulative += weight
      last = index
      if cumulative > target { break }
    }
    return last
  }
}
