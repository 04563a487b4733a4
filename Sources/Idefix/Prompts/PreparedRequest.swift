// A request after everything that needs no model: validated, images decoded, prompt rendered, names computed.
// Made on the caller's side, so that the engine thread only computes.

import IdeficsModel

/// What the engine thread gets to work on.
package struct PreparedRequest: Sendable {
  /// Token ids of the prompt.
  package var tokens: [Int32]
  /// For each token the image it attends to, -1 for none.
  package var attendedImages: [Int]
  /// The images the tokens refer to.
  package var images: [PreparedImage]
  /// Bytes of pixels that were decoded for it; images that were known need none.
  package var decodedBytes = 0
  /// Validated options.
  package var sampling: SamplingOptions
  /// Seed in use.
  package var seed: UInt64
  /// Answers wanted.
  package var count = 1
  /// Beam search, if it was asked for.
  package var beams: BeamOptions?
  /// What answers must look like.
  package var constraint: CompiledConstraint?
  /// Tokenised bad words.
  package var badWords: [[Int32]] = []
  /// Most tokens of an answer.
  package var maxTokens: Int
  /// Alternatives to report for each prompt token; `nil`: no prompt scores.
  package var promptLogprobs: Int?
  /// First prompt token whose score is wanted; earlier ones may come from the cache.
  package var scoredFrom = 0
  /// Whether prompt scores carry the whole distribution.
  package var reportsDistributions = false
  /// Whether an answer is wanted at all (a score request wants none).
  package var generates = true
  /// Start of the chain of block names.
  package var root: ContentKey
  /// Whether cached state may be used and left behind.
  package var usesPrefixCache = true
  /// Whether tokens are drafted from the text itself.
  package var speculates = true

  /// The image that generated tokens attend to, -1 for none.
  package var answerImage: Int { attendedImages.last ?? -1 }
}

/// A constraint with its automaton.
package struct CompiledConstraint: Sendable {
  /// What was asked for.
  package let constraint: Constraint
  /// The answers that are allowed.
  package let automaton: ByteAutomaton

  /// Compiles a constraint for tokens of up to `horizon` bytes; throws if it is not supported or too large.
  package init(_ constraint: Constraint, horizon: Int) throws(EngineError) {
    self.constraint = constraint
    automaton = try constraint.automaton(horizon: horizon)
  }
}

/// A decoded image with its name.
package struct PreparedImage: Sendable {
  /// Normalised pixels.
  package var pixels: PixelTensor
  /// What its pixels are, whoever asks.
  package var digest: ContentKey
  /// Name of its cross-attention state for the tenant.
  package var key: ContentKey
}
