import Idefix
import TestSupport
import Testing

/// Largest difference of a kept score from the reference, which computes in float32.
private let scoreTolerance: Float = 1e-5

@Suite struct SamplingTests {
  private static func options(_ change: (inout SamplingOptions) -> Void) -> SamplingOptions {
    var options = SamplingOptions()
    options.temperature = 1
    change(&options)
    return options
  }

  static let references: [(String, SamplingOptions)] = [
    ("temperature_0.7", options { $0.temperature = 0.7 }),
    ("top_k_10", options { $0.topK = 10 }),
    ("top_p_0.9", options { $0.topP = 0.9 }),
    ("typical_0.8", options { $0.typicalP = 0.8 }),
    ("repetition_1.3", options { $0.repetitionPenalty = 1.3 }),
    (
      "rep1.2_temp0.5_k20_p0.8_typ0.9",
      options {
        $0.repetitionPenalty = 1.2
        $0.temperature = 0.5
        $0.topK = 20
        $0.topP = 0.8
        $0.typicalP = 0.9
      }
    ),
  ]

  @Test(arguments: references)
  func processorsAgreeWithTransformers(name: String, options: SamplingOptions) throws {
    let table = try TensorFixture("sampling.safetensors")
    let logits = try table.floats("logits")
    let expected = try table.floats("out/" + name)
    let prompt = try table.integers("input_ids").map { Int32($0) }
    let scores = sampler(options, prompt: prompt).processed(logits)
    for (id, (score, reference)) in zip(scores, expected).enumerated() {
      #expect(score == reference || abs(score - reference) <= scoreTolerance, "id \(id)")
    }
  }

  @Test(arguments: [Double.leastNonzeroMagnitude, 1e-300, 1e-30, 1e30, 1e300], [true, false])
  func extremeFactorsKeepScoresNumbers(_ factor: Double, _ isTemperature: Bool) throws {
    let options = Self.options {
      if isTemperature { $0.temperature = factor } else { $0.repetitionPenalty = factor }
    }
    try options.validate(vocabularySize: 4)
    let logits: [Float] = [-3, 0, 2, 1]
    let token = try sampler(options, barred: [0], prompt: [1, 3]).draw(logits, at: 0)
    #expect(token.logprob.isFinite)
    if isTemperature, factor < 1 { #expect(token.id == 2 && token.logprob == 0) }
    if isTemperature, factor > 1 { #expect(abs(token.logprob + Float(1.0986123)) < 1e-5) }
  }

  private func sampler(
    _ options: SamplingOptions,
    barred: [Int32] = [],
    badWords: [[Int32]] = [],
    prompt: [Int32] = [],
    seed: UInt64 = 1,
    sequence: Int = 0
  ) -> Sampler {
    Sampler(
      options: options,
      processors: LogitsProcessors(
        options: options,
        barred: barred,
        badWords: badWords,
        prompt: prompt
      ),
      random: RandomStream(seed: seed, sequence: sequence)
    )
  }

  private let logits: [Float] = [0.5, 2, -1, 2, 1.5, -.infinity]

  @Test func greedyTakesTheFirstOfTheLargest() throws {
    #expect(try sampler(SamplingOptions()).draw(logits, at: 0).id == 1)
    #expect(try sampler(SamplingOptions(), barred: [1]).draw(logits, at: 0).id == 3)
  }

  @Test func logprobsAreNormalisedOnEitherBasis() throws {
    var options = SamplingOptions()
    options.logprobs = 6
    for basis in LogprobBasis.allCases {
      options.logprobBasis = basis
      let token = try sampler(options, barred: [1]).draw(logits, at: 0)
      let sum = token.top.reduce(0) { $0 + ScoreMath.exp(Double($1.logprob)) }
      #expect(abs(sum - 1) < 1e-6)
      #expect(token.top.first?.id == (basis == .model ? 1 : 3))
      #expect(token.top.contains { $0.id == token.id && $0.logprob == token.logprob })
    }
  }

  @Test func penaltiesCountTheAnswerAndNotThePrompt() throws {
    let options = Self.options {
      $0.frequencyPenalty = 0.5
      $0.presencePenalty = 0.25
      $0.logitBias = [2: 3, 0: -100]
    }
    var sampler = sampler(options, prompt: [1, 1, 1])
    sampler.accept(4)
    sampler.accept(4)
    #expect(sampler.processed(logits) == [-.infinity, 2, 2, 2, 0.25, -.infinity])
  }

  @Test func badWordsOfSeveralTokensAreBarredAtTheirLastToken() {
    var sampler = sampler(SamplingOptions(), badWords: [[3, 4], [0, 1, 2]], prompt: [0])
    #expect(sampler.processed(logits)[4] == 1.5)
    sampler.accept(3)
    #expect(sampler.processed(logits)[4] == -.infinity)
    sampler.accept(0)
    sampler.accept(1)
    #expect(sampler.processed(logits)[2] == -.infinity)
    #expect(sampler.processed(logits)[4] == 1.5)
  }

  @Test func minPKeepsASharesOfTheBest() {
    let kept = sampler(Self.options { $0.minP = 0.5 }).processed(logits)
    #expect(kept == [-.infinity, 2, -.infinity, 2, 1.5, -.infinity])
  }

  @Test func nothingLeftIsADeadEndAndNaNIsADefect() {
    #expect(throws: EngineError.deadEnd) {
      try sampler(SamplingOptions(), barred: [0, 1, 2, 3, 4]).draw(logits, at: 0)
    }
    #expect(throws: EngineError.self) {
      try sampler(SamplingOptions()).draw([1, .nan, 0], at: 0)
    }
    #expect(throws: EngineError.self) {
      try sampler(SamplingOptions()).draw([1, .infinity, 0], at: 0)
    }
  }

  @Test func drawsFollowTheDistribution() throws {
    let sampler = sampler(Self.options { _ in }, seed: 42)
    let draws = 20_000
    var counts = [Int](repeating: 0, count: logits.count)
    for position in 0..<draws { counts[Int(try sampler.draw(logits, at: position).id)] += 1 }
    let total = ScoreMath.logSumExp(logits)
    for (count, logit) in zip(counts, logits) {
      let probability = ScoreMath.exp(Double(logit) - total)
      let deviation = (probability * (1 - probability) / Double(draws)).squareRoot()
      #expect(abs(Double(count) / Double(draws) - probability) <= 4 * deviation)
    }
  }

  /// Written down once: a seed means these tokens on every machine and in every later version.
  @Test func aSeedMeansTheSameTokensEverywhere() throws {
    let sampler = sampler(Self.options { $0.topP = 0.95 }, seed: 7, sequence: 1)
    let ids = try (0..<16).map { try sampler.draw(logits, at: $0).id }
    #expect(ids == [1, 1, 0, 0, 1, 1, 4, 1, 1, 4, 0, 3, 1, 0, 1, 3])
  }

  @Test func expAndLogAreAccurate() {
    // Known digits, not libm's word.
    #expect(abs(ScoreMath.exp(1) - 2.718_281_828_459_045) < 1e-15)
    #expect(abs(ScoreMath.exp(-20) / 2.061_153_622_438_558e-9 - 1) < 1e-15)
    #expect(abs(ScoreMath.log(10) - 2.302_585_092_994_046) < 1e-15)
    #expect(abs(ScoreMath.log(0.5) + 0.693_147_180_559_945_3) < 1e-16)
    #expect(ScoreMath.exp(-.infinity) == 0 && ScoreMath.log(0) == -.infinity)
    for x in stride(from: -30.0, through: 30, by: 0.37) {
      #expect(abs(ScoreMath.log(ScoreMath.exp(x)) - x) <= 1e-14 * max(1, abs(x)))
    }
  }

  @Test func topSelectionEqualsSorting() {
    var generator = SeededGenerator(seed: 3)
    for count in [0, 1, 2, 5, 39, 40, 41] {
      let scores = (0..<40).map { _ in Float(Int.random(in: 0..<12, using: &generator)) }
      let sorted = scores.indices.sorted {
        scores[$0] != scores[$1] ? scores[$0] > scores[$1] : $0 < $1
      }
      #expect(TopSelection.largest(count, of: scores) == Array(sorted.prefix(count)))
    }
  }
}
