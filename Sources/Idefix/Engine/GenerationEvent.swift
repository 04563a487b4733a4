// What the engine tells about a request while it works: in this order
//   started · progress* · promptScored? · token* · finished        (or the stream throws).
// With beams, tokens come together at the end. Ending the stream early cancels the request.

/// A token with its text and log-probability.
public struct TokenLogprob: Sendable, Equatable {
  /// Token id.
  public var id: Int32
  /// The token's own text; bytes that are no complete character are U+FFFD.
  public var text: String
  /// Natural logarithm of its probability; `-infinity` for a token that was barred.
  public var logprob: Float

  /// A token with its text and log-probability.
  public init(id: Int32, text: String, logprob: Float) {
    self.id = id
    self.text = text
    self.logprob = logprob
  }
}

/// One token of a prompt with its log-probability given everything before it.
public struct ScoredToken: Sendable, Equatable {
  /// Token id.
  public var id: Int32
  /// The token's own text.
  public var text: String
  /// Log-probability; `nil` for the first token.
  public var logprob: Float?
  /// The most probable tokens at this place, best first.
  public var top: [TokenLogprob]
  /// Log-probability of every id of the vocabulary at this place, nothing barred.
  ///
  /// Empty for the first token, and unless ``ScoreRequest/reportsDistributions`` asked for it.
  public var distribution: [Float] = []
}

/// The prompt as the model sees it.
public struct PromptInfo: Sendable, Equatable {
  /// Token ids, image tokens included.
  public var tokens: [Int32]
  /// Images the tokens refer to.
  public var images: Int
  /// Leading tokens whose state was found in the prefix cache.
  public var cachedTokens: Int
  /// Seed in use; `nil` if nothing is sampled.
  public var seed: UInt64?
}

/// How far the prompt has come.
public enum PromptProgress: Sendable, Equatable {
  /// Image `done` of `total` is encoded (or was found in the cache).
  case images(done: Int, total: Int)
  /// `done` of `total` prompt tokens are in the cache.
  case prefill(done: Int, total: Int)
}

/// One generated token.
public struct TokenEvent: Sendable, Equatable {
  /// Which of the request's answers it belongs to, from 0.
  public var sequence: Int
  /// Place in the answer, from 0.
  public var index: Int
  /// Token id.
  public var id: Int32
  /// The token's own text, special tokens by name.
  public var piece: String
  /// Text that this token makes final.
  ///
  /// Complete characters, nothing that may still become a stop string, no special tokens. The last
  /// token brings what was held back; all of an answer's joined are its text.
  public var text: String
  /// Whether it is a special token.
  public var isSpecial: Bool
  /// Log-probability.
  public var logprob: Float
  /// The most probable tokens at this place, best first; as many as were asked for.
  public var top: [TokenLogprob]
  /// Why the answer ends with this token; `nil` while it goes on.
  ///
  /// Also `nil` for the last token of the rare answer that ends because no cache page is left; the
  /// result says `length` then.
  ///
  /// A front end that must mark its last message needs it with the token, not after it.
  public var finishReason: FinishReason?
}

/// Why an answer ended.
public enum FinishReason: String, Sendable, CaseIterable {
  /// The token limit or the context is used up.
  case length
  /// `</s>`, `<end_of_utterance>` or a stop token.
  case eos
  /// A stop string.
  case stop
  /// The caller ended it.
  case cancelled
}

/// One finished answer.
public struct GeneratedSequence: Sendable, Equatable {
  /// Which of the request's answers it is, from 0.
  public var index: Int
  /// The whole text, without special tokens, as it continues the prompt: often with a leading space.
  public var text: String
  /// Every token, the one that ended it included; `text` of each is its delta.
  public var tokens: [TokenEvent]
  /// Why it ended.
  public var finishReason: FinishReason
  /// The stop string that ended it.
  public var stopString: String?
  /// Beam search: its score; else the mean log-probability of its tokens.
  public var score: Float
}

/// Everything about a finished request.
public struct GenerationResult: Sendable, Equatable {
  /// The answers: by index, or best first for beam search.
  public var sequences: [GeneratedSequence]
  /// The prompt.
  public var prompt: PromptInfo
  /// Where time and bytes went.
  public var receipt: CostReceipt

  /// The first answer's text as a person reads it: without the space that joined it to the prompt.
  public var text: String { String((sequences.first?.text ?? "").trimmingPrefix(" ")) }
}

/// What the engine tells about a request.
public enum GenerationEvent: Sendable {
  /// The request was admitted.
  case started(PromptInfo)
  /// The prompt is being worked on.
  case progress(PromptProgress)
  /// Log-probabilities of the prompt, if they were asked for.
  case promptScored([ScoredToken])
  /// One more token.
  case token(TokenEvent)
  /// All answers are complete; the last event.
  case finished(GenerationResult)
}
