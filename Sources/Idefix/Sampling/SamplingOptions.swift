// How the next token is chosen and when to stop: every sampling option of the command line and of the
// HTTP routes, under the same names. A plain value; `validate(vocabularySize:)` refuses what has no meaning.

/// Which scores a reported log-probability is taken from.
public enum LogprobBasis: String, Sendable, CaseIterable {
  /// After penalties, bars and filters: what the sampler drew from (text-generation-inference).
  case processed
  /// The model's own distribution, before anything was changed (OpenAI).
  case model
}

/// The sampling parameters of one request; the default is greedy.
public struct SamplingOptions: Sendable, Equatable {
  /// Most tokens to generate; `nil`: as many as the context holds.
  public var maxTokens: Int?
  /// Divides the scores; 0 is greedy and ignores `topK`, `topP`, `minP` and `typicalP`.
  public var temperature: Double = 0
  /// Keeps tokens whose score is at least the k-th largest (ties kept).
  public var topK: Int?
  /// Keeps the most probable tokens up to cumulative probability p, in `0 < p ≤ 1`.
  public var topP: Double?
  /// Keeps tokens at least this share of the largest probability, in `0 ≤ p ≤ 1`.
  public var minP: Double?
  /// Locally typical sampling: mass to keep, in `0 < m ≤ 1`.
  public var typicalP: Double?
  /// For each id of prompt and answer: `s < 0 ? s·p : s/p`, once an id; above 0.
  public var repetitionPenalty: Double = 1
  /// Subtracted once for each time the answer holds the id, in `-2…2` (OpenAI).
  public var frequencyPenalty: Double = 0
  /// Subtracted if the answer holds the id at all, in `-2…2` (OpenAI).
  public var presencePenalty: Double = 0
  /// Added to the score of an id, in `-100…100`; -100 or less bars the id.
  public var logitBias: [Int32: Double] = [:]
  /// Token sequences that must not be generated; the image tokens are barred always.
  public var badWords: [String] = []
  /// Strings that end the answer, also across token borders.
  public var stop: [String] = []
  /// Whether the stop string stays in the answer (text-generation-inference) or is cut off (OpenAI).
  public var keepsStopString = false
  /// Makes a sampled request repeatable on every machine; `nil`: chosen at random and reported.
  public var seed: UInt64?
  /// Goes on after `</s>` and `<end_of_utterance>`.
  public var ignoresEOS = false
  /// Token ids that end the answer besides `</s>` and `<end_of_utterance>`.
  public var stopTokens: [Int32] = []
  /// Most probable alternatives to report for each token; `nil`: only the chosen token's log-probability.
  public var logprobs: Int?
  /// Which scores log-probabilities are taken from.
  public var logprobBasis = LogprobBasis.processed

  /// Greedy decoding without any limit but the context.
  public init() {}

  /// Whether the most probable token is always taken.
  public var isGreedy: Bool { temperature == 0 }

  /// Most alternatives that may be asked for.
  public static let maximumLogprobs = 20
  /// Most stop strings, bad words, stop tokens or biased ids.
  public static let maximumListLength = 1024
  /// Longest stop string or bad word in UTF-8 bytes.
  public static let maximumStringLength = 1024

  /// Refuses values without meaning; the error names the parameter.
  public func validate(vocabularySize: Int) throws(EngineError) {
    func require(_ holds: Bool, _ name: String, _ reason: String) throws(EngineError) {
      guard holds else { throw .invalidParameter(name: name, reason: reason) }
    }
    let ids = 0..<vocabularySize
    try require(maxTokens ?? 1 > 0, "max_tokens", "must be strictly positive")
    try require(temperature >= 0 && temperature.isFinite, "temperature", "must be 0 or more")
    try require(topK ?? 1 > 0, "top_k", "must be strictly positive")
    try require((topP ?? 1) > 0 && (topP ?? 1) <= 1, "top_p", "must be > 0 and <= 1")
    try require((minP ?? 0) >= 0 && (minP ?? 0) <= 1, "min_p", "must be >= 0 and <= 1")
    try require((typicalP ?? 1) > 0 && (typicalP ?? 1) <= 1, "typical_p", "must be > 0 and <= 1")
    try require(
      repetitionPenalty > 0 && repetitionPenalty.isFinite,
      "repetition_penalty",
      "must be strictly positive"
    )
    try require(abs(frequencyPenalty) <= 2, "frequency_penalty", "must be >= -2 and <= 2")
    try require(abs(presencePenalty) <= 2, "presence_penalty", "must be >= -2 and <= 2")
    try require(
      logitBias.count <= Self.maximumListLength
        && logitBias.allSatisfy { ids.contains(Int($0.key)) && abs($0.value) <= 100 },
      "logit_bias",
      "needs ids of the vocabulary and values of -100 to 100"
    )
    for (name, list) in [("stop", stop), ("bad_words", badWords)] {
      try require(list.count <= Self.maximumListLength, name, "has too many entries")
      try require(list.allSatisfy { !$0.isEmpty }, name, "must not hold an empty string")
      try require(
        list.allSatisfy { $0.utf8.count <= Self.maximumStringLength },
        name,
        "holds a string that is too long"
      )
    }
    try require(
      stopTokens.count <= Self.maximumListLength && stopTokens.allSatisfy { ids.contains(Int($0)) },
      "stop_tokens",
      "needs ids of the vocabulary"
    )
    try require(
      (0...Self.maximumLogprobs).contains(logprobs ?? 0),
      "logprobs",
      "must be >= 0 and <= \(Self.maximumLogprobs)"
    )
  }
}
