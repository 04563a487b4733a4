// What happens to scores before a token is drawn, in this order (Hugging Face's, the penalties of OpenAI among them):
//   repetition → frequency and presence → logit bias → bars, bad words, constraint → temperature → top-k → top-p
//   → min-p → typical.
// A removed token has score -infinity. Filters keep at least one token. No libm: see ScoreMath.

/// The processors of one answer, with the counts they need of it.
package struct LogitsProcessors: Sendable {
  private let options: SamplingOptions
  /// Ids that are never generated.
  private let barred: [Int32]
  /// Sequences that must not be completed.
  private let badWords: [[Int32]]
  /// Ids of the prompt, for the repetition penalty.
  private var seen: Set<Int32>
  /// How often the answer holds an id.
  private var counts: [Int32: Int] = [:]
  /// The last tokens of prompt and answer, as many as the longest bad word needs.
  private var tail: [Int32]
  private let tailLength: Int

  /// Processors of an answer to `prompt`.
  ///
  /// - Parameters:
  ///   - options: Validated options.
  ///   - barred: Ids that are never generated, the image tokens among them.
  ///   - badWords: Tokenised bad words; empty ones are ignored.
  ///   - prompt: Token ids of the prompt.
  package init(options: SamplingOptions, barred: [Int32], badWords: [[Int32]], prompt: [Int32]) {
    self.options = options
    self.barred = barred
    self.badWords = badWords.filter { !$0.isEmpty }
    seen = options.repetitionPenalty == 1 ? [] : Set(prompt)
    tailLength = (badWords.map(\.count).max() ?? 1) - 1
    tail = Array(prompt.suffix(max(tailLength, 0)))
  }

  /// Takes note of a generated token.
  package mutating func accept(_ token: Int32) {
    counts[token, default: 0] += 1
    if options.repetitionPenalty != 1 { seen.insert(token) }
    guard tailLength > 0 else { return }
    tail.append(token)
    if tail.count > tailLength { tail.removeFirst(tail.count - tailLength) }
  }

  /// Applies penalties, biases and bars: everything that greedy decoding heeds too.
  package func penalize(_ scores: inout [Float]) {
    if options.repetitionPenalty != 1 {
      let penalty = Self.factor(options.repetitionPenalty)
      for id in seen {
        let score = scores[Int(id)]
        scores[Int(id)] = score < 0 ? score * penalty : score / penalty
      }
    }
    if options.frequencyPenalty != 0 || options.presencePenalty != 0 {
      for (id, count) in counts {
        let penalty = options.frequencyPenalty * Double(count) + options.presencePenalty
        scores[Int(id)] -= Float(penalty)
      }
    }
    for (id, bias) in options.logitBias {
      scores[Int(id)] = bias <= -100 ? -.infinity : scores[Int(id)] + Float(bias)
    }
    for id in barred where Int(id) < scores.count { scores[Int(id)] = -.infinity }
    for word in badWords where tail.suffix(word.count - 1).elementsEqual(word.dropLast()) {
      let last = Int(word[word.count - 1])
      // A vocabulary may have tokens that the weights have no row for.
      if last < scores.count { scores[last] = -.infinity }
    }
  }

  /// Applies temperature and the filters; nothing when greedy.
  package func filter(_ scores: inout [Float]) {
    guard !options.isGreedy else { return }
    if options.temperature != 1 {
      let temperature = Self.factor(options.temperature)
      for index in scores.indices { scores[index] /= temperature }
    }
    if let count = options.topK { Self.keepTop(count, of: &scores) }
    if let mass = options.topP, mass < 1 { Self.keepNucleus(mass, of: &scores) }
    if let share = options.minP, share > 0 { Self.keepLikely(share, of: &scores) }
    if let mass = options.typicalP, mass < 1 { Self.keepTypical(mass, of: &scores) }
  }

  /// A factor within what scores can be multiplied and divided by without becoming infinite.
  ///
  /// Beyond these bounds nothing changes any more: the smallest temperature is greedy, the largest uniform.
  private static func factor(_ value: Double) -> Float { Float(min(max(value, 1e-6), 1e6)) }

  /// Keeps scores that are at least the `count`-th largest.
  private static func keepTop(_ count: Int, of scores: inout [Float]) {
    guard count < scores.count else { return }
    let kept = TopSelection.largest(count, of: scores)
    guard let last = kept.last else { return }
    let threshold = scores[last]
    for index in scores.indices where scores[index] < threshold { scores[index] = -.infinity }
  }

  /// Keeps the most probable tokens until what is left has at most probability `1 - mass`.
  private static func keepNucleus(_ mass: Double, of scores: inout [Float]) {
    let total = ScoreMath.logSumExp(scores)
    // A few tokens nearly always suffice; sorting all of them would cost more than the rest of a step.
    var count = 128
    while true {
      let best = TopSelection.largest(count, of: scores)
      var above = 0.0
      var kept = 0
      while kept < best.count, above < mass || kept == 0 {
        above += ScoreMath.exp(Double(scores[best[kept]]) - total)
        kept += 1
      }
      guard kept == best.count, best.count < scores.count else {
        var filtered = [Float](repeating: -.infinity, count: scores.count)
        for index in best.prefix(kept) { filtered[index] = scores[index] }
        scores = filtered
        return
      }
      count *= 16
    }
  }

  /// Drops tokens whose probability is below `share` of the largest.
  private static func keepLikely(_ share: Double, of scores: inout [Float]) {
    guard let largest = scores.max(), largest > -.infinity else { return }
    let threshold = Double(largest) + ScoreMath.log(share)
    for index in scores.indices where Double(scores[index]) < threshold && scores[index] < largest {
      scores[index] = -.infinity
    }
  }

  /// Keeps the tokens whose surprise is nearest to the expected one, up to probability `mass`.
  ///
  /// Source: Meister et al., "Locally typical sampling", 2022.
  private static func keepTypical(_ mass: Double, of scores: inout [Float]) {
    let total = ScoreMath.logSumExp(scores)
    let kept = scores.indices.filter { scores[$0] > -.infinity }
    let logprobs = kept.map { Double(scores[$0]) - total }
    let probabilities = logprobs.map { ScoreMath.exp($0) }
    var entropy = 0.0
    for (logprob, probability) in zip(logprobs, probabilities) { entropy -= logprob * probability }
    let distances = logprobs.map { abs(-$0 - entropy) }
    let order = kept.indices.sorted {
      distances[$0] != distances[$1] ? distances[$0] < distances[$1] : $0 < $1
    }
    var sum = 0.0
    var threshold = Double.infinity
    for index in order {
      sum += probabilities[index]
      threshold = distances[index]
      if sum >= mass { break }
    }
    for index in kept.indices where distances[index] > threshold {
      scores[kept[index]] = -.infinity
    }
  }
}
