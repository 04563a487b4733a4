// What a caller hands to the engine: plain values. The engine validates them; nothing here does work.

/// Beam search parameters; the published captioning and VQA scores use three beams.
public struct BeamOptions: Sendable, Equatable {
  /// Beams kept, 1 to 16.
  public var width: Int
  /// Exponent of the answer's length that divides its summed log-probability.
  public var lengthPenalty: Double

  /// Beam search of `width` beams.
  public init(width: Int = 3, lengthPenalty: Double = 1) {
    self.width = width
    self.lengthPenalty = lengthPenalty
  }
}

/// What an answer must look like; anything else is barred token by token.
public enum Constraint: Sendable, Equatable {
  /// Exactly one of these strings.
  case choices([String])
  /// A text that the whole regular expression matches (linear-time subset).
  case regex(String)
  /// A JSON document of this JSON schema (a documented subset; what is not supported is refused).
  case jsonSchema(String)
}

/// One request: a prompt and how to answer it.
public struct GenerationRequest: Sendable {
  /// What is asked.
  public var prompt: Prompt
  /// How tokens are chosen and when to stop.
  public var sampling: SamplingOptions
  /// Independent answers to the same prompt, 1 to 16.
  ///
  /// Answer i of a seeded request uses the seed and i.
  public var count = 1
  /// Beam search in place of sampling; `count` then says how many of the beams are returned.
  public var beams: BeamOptions?
  /// What the answer must look like.
  public var constraint: Constraint?
  /// Keeps only the last n tokens of a longer prompt, and of its images those that are left.
  public var truncate: Int?
  /// Whether to report each prompt token's log-probability, with this many alternatives.
  public var promptLogprobs: Int?
  /// Who asks: cached prefixes and images are shared only between requests of one tenant.
  public var tenant = ""
  /// Whether this request may use and fill the prefix cache.
  public var usesPrefixCache = true
  /// Whether to draft tokens from the prompt's own text (exact; only speed changes).
  public var speculates = true

  /// A request for one answer.
  public init(prompt: Prompt, sampling: SamplingOptions = SamplingOptions()) {
    self.prompt = prompt
    self.sampling = sampling
  }

  /// Most answers or beams a request may ask for.
  public static let maximumCount = 16
}

/// A request for the log-probability of every prompt token.
public struct ScoreRequest: Sendable {
  /// The text and images to score.
  public var prompt: Prompt
  /// Most probable alternatives to report for each token, 0 to 20.
  public var top = 0
  /// First token whose score is wanted; the state of earlier ones may come from the prefix cache.
  public var scoredFrom = 0
  /// Whether to report the whole distribution of each token: `vocabularySize` floats a token.
  public var reportsDistributions = false
  /// Who asks, as in ``GenerationRequest/tenant``.
  public var tenant = ""

  /// A request to score `prompt`.
  public init(prompt: Prompt, top: Int = 0) {
    self.prompt = prompt
    self.top = top
  }
}
