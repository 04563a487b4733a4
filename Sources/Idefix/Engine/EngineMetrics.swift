// Counters and gauges of an engine: a plain snapshot that a server exports.

/// A snapshot of the engine's counters (growing) and gauges (as of now).
public struct EngineMetrics: Sendable, Equatable {
  /// Requests taken in.
  public var requests = 0
  /// Requests that finished.
  public var finished = 0
  /// Requests ended by the caller.
  public var cancelled = 0
  /// Requests refused or failed, by the error's category.
  public var failed = 0
  /// Prompt tokens of admitted requests.
  public var promptTokens = 0
  /// Prompt tokens found in the prefix cache.
  public var cachedTokens = 0
  /// Tokens generated.
  public var generatedTokens = 0
  /// Images encoded.
  public var imagesEncoded = 0
  /// Images found in the cache.
  public var imagesCached = 0
  /// Passes over the weights.
  public var steps = 0
  /// Tokens those passes carried.
  public var stepTokens = 0
  /// Sequences those passes worked on, added up.
  public var stepSequences = 0
  /// Seconds spent in passes.
  public var stepSeconds = 0.0
  /// Seconds spent on the logits of passes: drawing tokens, telling about them, ending answers.
  public var outputSeconds = 0.0
  /// Seconds spent encoding images.
  public var encodeSeconds = 0.0
  /// Sequences that lost their pages to older ones.
  public var preemptions = 0
  /// Tokens drafted from the text itself.
  public var draftedTokens = 0
  /// Drafted tokens that were right.
  public var acceptedTokens = 0
  /// Requests waiting now.
  public var waiting = 0
  /// Sequences computed now.
  public var running = 0
  /// Tokens of the sequences computed now, prompt and answer.
  public var runningTokens = 0
  /// Tokens they may come to have.
  public var runningTokenLimit = 0
  /// Pages of the cache in all.
  public var pages = 0
  /// Pages used by running sequences now.
  public var pagesInUse = 0
  /// Pages kept for reuse now.
  public var pagesCached = 0

  /// All zero.
  public init() {}
}
