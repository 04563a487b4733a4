// The model: weights bound to names, caches and scratch, and the two passes a user of it needs: encode
// an image once, and step a batch of sequences. Lives on one thread; knows nothing of requests.

import Kernels
import Tensors
import WeightFiles

/// Sizes that bound the model's memory.
public struct ModelLimits: Sendable {
  /// Most new tokens in one step.
  public var tokensPerStep: Int
  /// Unit pages of the cache: 16 tokens of one layer, or of one cross block of one image, each.
  public var pages: Int
  /// Element type of cached keys and values.
  public var cacheElement: KVElement

  /// Bounds of one model.
  public init(tokensPerStep: Int, pages: Int, cacheElement: KVElement) {
    self.tokensPerStep = tokensPerStep
    self.pages = pages
    self.cacheElement = cacheElement
  }
}

/// An IDEFICS model with its caches.
///
/// Not thread-safe: it belongs to the engine thread.
public final class IdeficsModel {
  /// Hyper-parameters.
  public let configuration: Configuration
  /// Bounds.
  public let limits: ModelLimits
  /// Pages of keys and values, of text and of images.
  public let pageStore: PageStore
  /// Tokens of text after an image for which the weights of images stay in memory, in case that another one follows.
  ///
  /// As many as a short question and its answer have, so that one image after another finds them there, and few enough
  /// that they are gone before keys and values of a long text need as much memory. Decoding them anew takes little
  /// time beside so many tokens.
  public static let tokensBesideImageWeights = 256
  /// Raised from another thread, stops the running pass after the current half of a layer.
  public let cancellation = CancellationFlag()
  /// When set, receives a copy of every layer's output.
  public var recorder: LayerRecorder?

  private let compute: ComputeContext
  private let vision: VisionTransformer
  private let perceiver: PerceiverResampler?
  private let text: TextDecoder
  private let textScratch: TextActivations
  private var visionScratch: VisionActivations?
  private var perceiverScratch: PerceiverActivations?
  private var logits: Matrix
  /// Tokens of text since the last image, while the weights of images may be in memory.
  private var tokensSinceImage: Int?

  /// Binds the weights of `source` and allocates caches and scratch.
  ///
  /// - Throws: `ModelError` naming the first tensor that is missing or misshapen.
  public init(
    source: any WeightSource,
    configuration: Configuration,
    compute: ComputeContext,
    limits: ModelLimits
  ) throws {
    let binder = WeightBinder(source: source)
    self.configuration = configuration
    self.limits = limits
    self.compute = compute
    vision = try VisionTransformer(binder, configuration.vision)
    perceiver = try configuration.perceiver.map {
      try PerceiverResampler(binder, $0, vision: configuration.vision)
    }
    text = try TextDecoder(binder, configuration)
    textScratch = TextActivations(configuration, tokens: limits.tokensPerStep)
    pageStore = try PageStore(
      pages: limits.pages,
      heads: configuration.heads,
      headDim: configuration.headDim,
      element: limits.cacheElement
    )
    logits = Matrix(rows: 1, columns: configuration.totalVocabularySize)
  }

  /// Runs vision tower and resampler on one image and stores the keys and values of every cross block.
  ///
  /// - Parameters:
  ///   - image: normalised pixels; other sizes than the configured one use resampled positions.
  ///   - pages: for each cross block, pages for `stateCount(of: image)` states.
  ///   - finished: told of every stage that is over, with the bytes of states or pages it has made.
  /// - Throws: `ModelError` when the image is smaller than a patch or the pass was cancelled.
  public func encode(
    _ image: PixelTensor,
    into pages: PageTable,
    _ finished: (ImageStage, _ bytes: Int) -> Void = { _, _ in }
  ) throws {
    tokensSinceImage = 0
    let states = try visionPass(image)
    finished(.vision, states.x.byteCount)
    if let perceiver {
      let scratch = try perceiverScratch(tokens: states.tokens)
      try perceiver.resample(states.x, compute, scratch, cancellation, recorder)
      finished(.resampler, scratch.states.byteCount)
      recorder?.record("image_hidden_states", scratch.states)
      try cacheImage(scratch.states, into: pages)
    } else {
      finished(.resampler, 0)
      recorder?.record("image_hidden_states", states.x)
      try cacheImage(states.x, into: pages)
    }
    finished(.crossKeysValues, pages.layers.joined().count * pageStore.bytesPerPage)
  }

  /// Image states that `encode` makes of an image: latents, or vision tokens without a resampler.
  public func stateCount(of image: PixelTensor) -> Int {
    configuration.perceiver?.latents ?? visionTokens(of: image)
  }

  /// One pass over the weights for the new tokens of every slice.
  ///
  /// - Returns: logits `[wanted rows, vocabulary]`, rows in the order of slices and tokens, valid until
  ///   the next call.
  public func step(_ slices: [SequenceSlice]) throws(ModelError) -> Logits {
    let plan = StepPlan(slices)
    guard plan.tokens.count <= limits.tokensPerStep else {
      throw .stepTooLarge(tokens: plan.tokens.count, limit: limits.tokensPerStep)
    }
    leaveImages(beforeTokens: plan.tokens.count)
    let vocabulary = configuration.totalVocabularySize
    for token in plan.tokens where token < 0 || token >= Int32(vocabulary) {
      throw .invalidToken(token, vocabulary: vocabulary)
    }
    if logits.capacity < plan.logitRows.count {
      logits = Matrix(rows: plan.logitRows.count, columns: vocabulary)
    }
    try text.forward(
      plan,
      compute,
      textScratch,
      cache: pageStore,
      cancellation: cancellation,
      recorder: recorder,
      logits: &logits
    )
    return Logits(model: self)
  }

  /// Gives the weights and the scratch of images up if with `count` more tokens too much text has followed the last one.
  private func leaveImages(beforeTokens count: Int) {
    guard let tokens = tokensSinceImage else { return }
    tokensSinceImage = tokens + count
    guard tokens + count > Self.tokensBesideImageWeights else { return }
    text.weights.leaveImages()
    visionScratch = nil
    perceiverScratch = nil
    tokensSinceImage = nil
  }

  /// Vision tokens of an image of any size that is at least one patch.
  private func visionTokens(of image: PixelTensor) -> Int {
    let patch = configuration.vision.patchSize
    return image.height / patch * (image.width / patch) + 1
  }

  private func visionPass(_ image: PixelTensor) throws -> VisionActivations {
    let tokens = visionTokens(of: image)
    guard tokens > 1 else {
      throw ModelError.invalidImageSize(height: image.height, width: image.width)
    }
    let scratch: VisionActivations
    if let kept = visionScratch, kept.tokens == tokens {
      scratch = kept
    } else {
      scratch = try VisionActivations(configuration.vision, tokens: tokens)
      visionScratch = scratch
    }
    try vision.encode(image, compute, scratch, cancellation, recorder)
    return scratch
  }

  private func perceiverScratch(tokens: Int) throws -> PerceiverActivations {
    if let kept = perceiverScratch, kept.context.rows == tokens { return kept }
    guard let resampler = configuration.perceiver else {
      preconditionFailure("a model without a resampler has no scratch for one")
    }
    let scratch = try PerceiverActivations(
      resampler,
      width: configuration.vision.width,
      tokens: tokens
    )
    perceiverScratch = scratch
    return scratch
  }

  private func cacheImage(_ states: borrowing Matrix, into pages: PageTable) throws(ModelError) {
    for (block, weights) in text.crossBlocks.enumerated() {
      guard !cancellation.isRaised else { throw .cancelled }
      try text.weights.acquire(.imageKeyValue(block))
      defer { text.weights.release(.imageKeyValue(block)) }
      weights.cacheImage(
        states,
        configuration,
        compute,
        scratch: textScratch,
        into: pageStore,
        pages: pages.layers[block]
      )
    }
  }

  fileprivate func withLogits<Result>(_ body: (borrowing Matrix) -> Result) -> Result {
    body(logits)
  }
}

/// Logits of one step; a view into the model, valid until its next step.
public struct Logits {
  private let model: IdeficsModel

  fileprivate init(model: IdeficsModel) { self.model = model }

  /// Rows: one per wanted token.
  public var rows: Int { model.withLogits { $0.rows } }

  /// A copy of one row `[vocabulary]`.
  public func row(_ index: Int) -> [Float] { model.withLogits { $0.row(index) } }

  /// One row without copying.
  public func withRow<Result>(
    _ index: Int,
    _ body: (UnsafeBufferPointer<Float>) throws -> Result
  ) rethrows -> Result {
    try model.withRow(index, body)
  }
}

extension IdeficsModel {
  fileprivate func withRow<Result>(
    _ index: Int,
    _ body: (UnsafeBufferPointer<Float>) throws -> Result
  ) rethrows -> Result {
    precondition(index >= 0 && index < logits.rows, "logit row out of range")
    let columns = logits.columns
    return try logits.storage.withElements {
      try body(UnsafeBufferPointer(rebasing: $0[(index * columns)..<((index + 1) * columns)]))
    }
  }
}
