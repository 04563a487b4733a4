// Beam search as the published scores were made with: of all continuations of all beams the best 2·width are looked at
// in order; an end token among the best `width` completes an answer, the others become the next beams. Scores are summed
// log-probabilities divided by length^penalty, the end token counted.
// Source: the BeamSearchScorer of Hugging Face transformers (early_stopping false).

/// The state of one request's beam search.
///
/// Beams are sequences of the request.
struct BeamSearch {
  /// A possible continuation of a beam.
  struct Candidate {
    let beam: Int
    let token: Int32
    let logprob: Float
    let sum: Double
  }

  /// A complete answer.
  struct Hypothesis {
    let sequence: SequenceState
    let score: Double
  }

  let options: BeamOptions
  /// Best continuations of each beam of which the logits are known, by position in the request's `live`.
  private var continuations: [Int: [Candidate]] = [:]
  private(set) var hypotheses: [Hypothesis] = []

  init(_ options: BeamOptions) { self.options = options }

  /// Continuations of every beam that are looked at.
  var candidateCount: Int { 2 * options.width }

  /// Takes note of a beam's best continuations.
  mutating func collect(_ candidates: [Candidate], of beam: Int) {
    continuations[beam] = candidates
  }

  /// The best continuations over all beams, best first, once all `beams` are known.
  mutating func ranked(beams: Int) -> [Candidate]? {
    guard continuations.count == beams else { return nil }
    defer { continuations = [:] }
    let all = continuations.sorted { $0.key < $1.key }.flatMap(\.value)
    let order = all.indices.sorted {
      all[$0].sum != all[$1].sum ? all[$0].sum > all[$1].sum : $0 < $1
    }
    return order.prefix(candidateCount).map { all[$0] }
  }

  /// Adds a complete answer and keeps the best `width`.
  mutating func complete(_ sequence: SequenceState) {
    let score = sequence.beamScore / divisor(sequence.answerCount)
    hypotheses.append(Hypothesis(sequence: sequence, score: score))
    hypotheses.sort { $0.score > $1.score }
    if hypotheses.count > options.width { hypotheses.removeLast() }
  }

  /// Whether no beam can still beat the worst of the kept answers.
  func isDone(bestSum: Double, length: Int) -> Bool {
    guard hypotheses.count == options.width, let worst = hypotheses.last else { return false }
    return worst.score >= bestSum / divisor(length)
  }

  /// length^penalty by repeated multiplication of own exp and log.
  private func divisor(_ length: Int) -> Double {
    ScoreMath.exp(options.lengthPenalty * ScoreMath.log(Double(max(length, 1))))
  }
}
