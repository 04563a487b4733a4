// One request on the engine thread: its answers, its images' blocks, its receipt, and the stream its events go to.

import IdeficsModel

/// The state of one request.
///
/// Belongs to the engine thread.
final class RequestState {
  /// The block of one image, as far as it is there.
  struct Image {
    var block: BlockID?
    var pages: ImagePages?
  }

  let id: UInt64
  let prepared: PreparedRequest
  /// Where events go.
  let emit: @Sendable (GenerationEvent) -> Void
  /// Ends the stream; with an error if there is one.
  let close: @Sendable ((any Error)?) -> Void

  /// Answers that are not finished, in the order of their index.
  var live: [SequenceState] = []
  var finished: [SequenceState] = []
  var images: [Image]
  var receipt = CostReceipt()
  var clock: PhaseClock
  var promptScores: [ScoredToken] = []
  var beams: BeamSearch?
  let constraint: ConstraintMatcher?
  var hasStarted = false
  /// Set once the stream is closed; nothing is reported any more.
  var isEnded = false

  init(
    id: UInt64,
    prepared: PreparedRequest,
    constraint: ConstraintMatcher?,
    receipt: CostReceipt,
    submitted: ContinuousClock.Instant,
    emit: @escaping @Sendable (GenerationEvent) -> Void,
    close: @escaping @Sendable ((any Error)?) -> Void
  ) {
    self.id = id
    self.prepared = prepared
    self.constraint = constraint
    beams = prepared.beams.map { BeamSearch($0) }
    self.receipt = receipt
    self.emit = emit
    self.close = close
    images = Array(repeating: Image(), count: prepared.images.count)
    clock = PhaseClock(\.queue, at: submitted)
  }

  /// The prompt as callers are told of it.
  var promptInfo: PromptInfo {
    PromptInfo(
      tokens: prepared.tokens,
      images: prepared.images.count,
      cachedTokens: receipt.cachedTokens,
      seed: prepared.sampling.isGreedy ? nil : prepared.seed
    )
  }

  /// Whether blocks of images are held.
  var holdsImages: Bool { images.contains { $0.block != nil } }

  /// Whether prompt scores are wanted.
  var scoresPrompt: Bool { prepared.promptLogprobs != nil }
}
