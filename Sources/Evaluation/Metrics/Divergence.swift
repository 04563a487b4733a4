// How far a model's distributions are from a reference's, token by token. Both are natural log-probabilities over
// the same vocabulary; sums are taken in double precision.

import Foundation

/// The comparison of two distributions at one place of a text.
public struct TokenDivergence: Sendable, Equatable {
  /// Kullback-Leibler divergence of the candidate from the reference, `Σ p_ref (ln p_ref - ln p)`, in nats.
  public var divergence: Double
  /// Whether both find the same token most probable (the first of several).
  public var agrees: Bool
  /// Log-probability of the text's own token under the reference.
  public var referenceLogprob: Double
  /// Log-probability of the text's own token under the candidate.
  public var logprob: Double

  /// Probability of the text's own token: the candidate's less the reference's.
  public var difference: Double { exp(logprob) - exp(referenceLogprob) }

  /// A comparison made earlier.
  init(divergence: Double, agrees: Bool, referenceLogprob: Double, logprob: Double) {
    self.divergence = divergence
    self.agrees = agrees
    self.referenceLogprob = referenceLogprob
    self.logprob = logprob
  }

  /// Compares two distributions.
  ///
  /// - Parameters:
  ///   - reference: Natural log-probabilities over the vocabulary.
  ///   - candidate: As many of the other model.
  ///   - token: The text's own token at this place.
  /// - Precondition: both have the same, positive number of values and `token` is one of them.
  public init(reference: [Float], candidate: [Float], token: Int) {
    precondition(reference.count == candidate.count && reference.indices.contains(token))
    var sum = 0.0
    var bestReference = 0
    var best = 0
    for index in reference.indices {
      if reference[index] > reference[bestReference] { bestReference = index }
      if candidate[index] > candidate[best] { best = index }
      let logprob = Double(reference[index])
      let probability = exp(logprob)
      // A token without probability under the reference adds nothing, whatever the candidate says.
      if probability > 0 { sum += probability * (logprob - Double(candidate[index])) }
    }
    divergence = sum
    agrees = bestReference == best
    referenceLogprob = Double(reference[token])
    logprob = Double(candidate[token])
  }
}

/// Divergence over many tokens.
public struct DivergenceSummary: Sendable, Equatable, Codable {
  /// Tokens compared.
  public var tokens: Int
  /// Mean divergence in nats.
  public var meanDivergence: Estimate
  /// Percentiles 50, 90, 99 and 99.9 of the divergence, and the largest.
  public var divergencePercentiles: [String: Double]
  /// Share of tokens with the same most probable token.
  public var topAgreement: Estimate
  /// Percentiles 1, 5, 25, 50, 75, 95 and 99 of Δp, the change of the right token's probability.
  public var differencePercentiles: [String: Double]
  /// Mean of Δp.
  public var meanDifference: Estimate
  /// Root of the mean of Δp².
  public var rmsDifference: Estimate
  /// Perplexity of the reference on these tokens.
  public var referencePerplexity: Double
  /// Perplexity of the candidate on these tokens.
  public var perplexity: Double

  /// A summary of the places of each item; items are what the bootstrap resamples.
  public init(items: [[TokenDivergence]], bootstrap: Bootstrap) {
    let rows = items.filter { !$0.isEmpty }.map { places in
      places.reduce(into: [Double](repeating: 0, count: 7)) { row, place in
        row[0] += 1
        row[1] += place.divergence
        row[2] += place.agrees ? 1 : 0
        row[3] += place.difference
        row[4] += place.difference * place.difference
        row[5] += place.referenceLogprob
        row[6] += place.logprob
      }
    }
    let all = items.flatMap(\.self)
    tokens = all.count
    meanDivergence = bootstrap.estimate(rows) { $0[1] / $0[0] }
    topAgreement = bootstrap.estimate(rows) { $0[2] / $0[0] }
    meanDifference = bootstrap.estimate(rows) { $0[3] / $0[0] }
    rmsDifference = bootstrap.estimate(rows) { ($0[4] / $0[0]).squareRoot() }
    let count = Double(max(all.count, 1))
    referencePerplexity = exp(-all.reduce(0) { $0 + $1.referenceLogprob } / count)
    perplexity = exp(-all.reduce(0) { $0 + $1.logprob } / count)
    func percentiles(_ values: [Double], _ list: [(String, Double)]) -> [String: Double] {
      let sorted = values.sorted()
      return Dictionary(
        uniqueKeysWithValues: list.map { ($0.0, Percentile.of(sorted: sorted, $0.1)) }
      )
    }
    divergencePercentiles = percentiles(
      all.map(\.divergence),
      [("p50", 50), ("p90", 90), ("p99", 99), ("p99.9", 99.9), ("max", 100)]
    )
    differencePercentiles = percentiles(
      all.map(\.difference),
      [("p1", 1), ("p5", 5), ("p25", 25), ("p50", 50), ("p75", 75), ("p95", 95), ("p99", 99)]
    )
  }
}
