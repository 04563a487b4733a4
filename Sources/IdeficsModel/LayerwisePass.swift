// The forward pass over many prompts, one stage of the text stack at a time, so that only one layer's
// weights are in memory: what calibration needs of a model that does not fit. Keeps the residual
// stream of every prompt and the states of every image; shows the inputs of linear layers to whoever
// asks. The layers are those of the ordinary pass.

import Kernels
import Tensors
import WeightFiles

/// One prompt of a pass.
package struct LayerwisePrompt: Sendable {
  /// Token ids, at least one.
  package let tokens: [Int32]
  /// The attended image of each token, -1 for none.
  package let attendedImages: [Int]
  /// The images, all of the configured size.
  package let images: [PixelTensor]

  /// A prompt; `nil` when the numbers do not fit each other.
  package init?(tokens: [Int32], attendedImages: [Int], images: [PixelTensor]) {
    guard !tokens.isEmpty, tokens.count == attendedImages.count,
      attendedImages.allSatisfy({ $0 >= -1 && $0 < images.count })
    else { return nil }
    self.tokens = tokens
    self.attendedImages = attendedImages
    self.images = images
  }
}

/// A part of the text stack that is applied as a whole.
package enum LayerwiseStage: Sendable, Hashable {
  /// A gated cross-attention block.
  case cross(Int)
  /// A decoder layer.
  case layer(Int)

  /// All stages of a model, in the order of the pass.
  package static func all(of configuration: Configuration) -> [LayerwiseStage] {
    (0..<configuration.layers).flatMap { layer -> [LayerwiseStage] in
      let block = configuration.crossBlock(before: layer)
      return (block.map { [.cross($0)] } ?? []) + [.layer(layer)]
    }
  }

  /// Names of the stage's weight matrices: those in one list multiply the same input.
  package var inputs: [[String]] {
    let (prefix, attention) =
      switch self {
      case .cross(let block): (WeightNames.crossBlock(block), "cross_attn.")
      case .layer(let layer): (WeightNames.decoderLayer(layer), "self_attn.")
      }
    func names(_ part: String, _ projections: String...) -> [String] {
      projections.map { "\(prefix)\(part)\($0)_proj.weight" }
    }
    let projections =
      switch self {
      case .cross: [names(attention, "k", "v"), names(attention, "q")]
      case .layer: [names(attention, "q", "k", "v")]
      }
    return projections + [
      names(attention, "o"), names("mlp.", "gate", "up"), names("mlp.", "down"),
    ]
  }
}

/// A pass over all prompts, stage by stage.
package final class LayerwisePass {
  /// Most tokens in one call of a layer, unless one prompt has more.
  package static let tokensPerStep = 512

  /// What is shown: the index of the list in `LayerwiseStage.inputs` and its input `[rows, columns]`.
  package typealias Observer = (_ input: Int, _ x: borrowing Matrix) -> Void

  private struct Batch {
    let prompts: Range<Int>
    let rows: Range<Int>
    let images: Range<Int>
  }

  private let configuration: Configuration
  private let binder: WeightBinder
  private let compute: ComputeContext
  private let prompts: [LayerwisePrompt]
  private let batches: [Batch]
  private let scratch: TextActivations
  private let textPages: PageStore
  private let imagePages: PageStore
  private var stream: Matrix  // [tokens of all prompts, hidden]
  private var states: Matrix  // [images of all prompts · states, vision width]
  private var image: Matrix  // [states, vision width]
  /// Stages that have not been applied, in order.
  package private(set) var remaining: ArraySlice<LayerwiseStage>

  /// Embeds the prompts and encodes their images; vision weights are let go of afterwards.
  package init(
    source: any WeightSource,
    configuration c: Configuration,
    compute: ComputeContext,
    prompts: [LayerwisePrompt],
    cancellation: CancellationFlag
  ) throws {
    configuration = c
    binder = WeightBinder(source: source)
    self.compute = compute
    self.prompts = prompts
    batches = Self.batches(prompts)
    let tokens = batches.map(\.rows.count).max() ?? 1
    let images = batches.map(\.images.count).max() ?? 0
    scratch = TextActivations(c, tokens: tokens)
    textPages = try Self.store(c, batches.map { Self.pages(prompts[$0.prompts]) }.max() ?? 1)
    imagePages = try Self.store(c, max(1, images * Self.pages(c.imageStates)))
    stream = Matrix(rows: batches.last?.rows.upperBound ?? 0, columns: c.hiddenSize)
    states = Matrix(
      rows: (batches.last?.images.upperBound ?? 0) * c.imageStates,
      columns: c.vision.width
    )
    image = Matrix(rows: c.imageStates, columns: c.vision.width)
    remaining = LayerwiseStage.all(of: c)[...]
    try encodeImages(cancellation)
    try embed()
  }

  /// Applies the next stage to all prompts.
  ///
  /// - Throws: `ModelError`, `cancelled` included; the pass is of no use afterwards.
  package func advance(cancellation: CancellationFlag, observer: Observer?) throws(ModelError) {
    guard let stage = remaining.first else { preconditionFailure("the pass has ended") }
    switch stage {
    case .cross(let block):
      let weights = try CrossBlockWeights(binder, block, configuration)
      for batch in batches {
        guard !cancellation.isRaised else { throw .cancelled }
        try apply(weights, to: batch, cancellation, observer)
      }
    case .layer(let layer):
      let weights = try DecoderLayerWeights(binder, layer, configuration)
      for batch in batches {
        guard !cancellation.isRaised else { throw .cancelled }
        try apply(weights, to: batch, cancellation, observer)
      }
    }
    remaining.removeFirst()
  }

  /// A copy of the residual stream of one prompt, `[tokens, hidden]`.
  package func hidden(ofPrompt prompt: Int) -> [Float] {
    let first = prompts[..<prompt].reduce(0) { $0 + $1.tokens.count }
    return (first..<(first + prompts[prompt].tokens.count)).flatMap { stream.row($0) }
  }

  // MARK: Stages

  private func apply(
    _ weights: CrossBlockWeights,
    to batch: Batch,
    _ cancellation: CancellationFlag,
    _ observer: Observer?
  ) throws(ModelError) {
    let c = configuration
    let count = c.imageStates
    for index in batch.images {
      copy(states, from: index * count, rows: count, to: &image, at: 0)
      observer?(0, image)
      weights.cacheImage(
        image,
        c,
        compute,
        scratch: scratch,
        into: imagePages,
        pages: pages(ofImage: index - batch.images.lowerBound)
      )
    }
    load(batch)
    if let observer {
      let s = scratch
      compute.rmsNorm(s.x, weight: weights.attentionNorm, eps: c.rmsNormEpsilon, into: &s.normed)
      observer(1, s.normed)
    }
    let step = plan(batch)
    let spans = step.crossSpans(block: 0)
    try weights.apply(c, compute, scratch, spans: spans, cache: imagePages, cancellation) {
      observer?(2, $0)
    }
    show(first: 3, observer)
    store(batch)
  }

  private func apply(
    _ weights: DecoderLayerWeights,
    to batch: Batch,
    _ cancellation: CancellationFlag,
    _ observer: Observer?
  ) throws(ModelError) {
    let c = configuration
    load(batch)
    if let observer {
      let s = scratch
      compute.rmsNorm(s.x, weight: weights.attentionNorm, eps: c.rmsNormEpsilon, into: &s.normed)
      observer(0, s.normed)
    }
    try weights.apply(c, compute, scratch, plan(batch), layer: 0, cache: textPages, cancellation) {
      observer?(1, $0)
    }
    show(first: 2, observer)
    store(batch)
  }

  /// Shows what a layer has left in its scratch: the inputs of its last two products.
  private func show(first: Int, _ observer: Observer?) {
    observer?(first, scratch.normed)
    observer?(first + 1, scratch.inner)
  }

  private func plan(_ batch: Batch) -> StepPlan {
    var page: Int32 = 0
    var firstImage = 0
    let slices = prompts[batch.prompts].map { prompt in
      let count = Int32(Self.pages(prompt.tokens.count))
      defer {
        page += count
        firstImage += prompt.images.count
      }
      var runs: [ImageRun] = []
      var previous: Int?
      for index in prompt.attendedImages {
        if index == previous {
          runs[runs.count - 1].tokenCount += 1
        } else {
          runs.append(ImageRun(tokenCount: 1, image: index < 0 ? nil : held(firstImage + index)))
        }
        previous = index
      }
      return SequenceSlice(
        tokens: prompt.tokens,
        position: 0,
        pages: PageTable(layers: [Array(page..<(page + count))]),
        imageRuns: runs,
        logits: .none
      )
    }
    return StepPlan(slices)
  }

  /// The pages of the `index`-th image of a batch.
  private func held(_ index: Int) -> ImagePages {
    ImagePages(
      table: PageTable(layers: [pages(ofImage: index)]),
      stateCount: configuration.imageStates
    )
  }

  private func pages(ofImage index: Int) -> [Int32] {
    let count = Self.pages(configuration.imageStates)
    return (index * count..<(index + 1) * count).map { Int32($0) }
  }

  private func load(_ batch: Batch) {
    scratch.x.resize(rows: batch.rows.count)
    let first = batch.rows.lowerBound
    copy(stream, from: first, rows: batch.rows.count, to: &scratch.x, at: 0)
  }

  private func store(_ batch: Batch) {
    let first = batch.rows.lowerBound
    copy(scratch.x, from: 0, rows: batch.rows.count, to: &stream, at: first)
  }

  private func copy(
    _ source: borrowing Matrix,
    from first: Int,
    rows: Int,
    to target: inout Matrix,
    at start: Int
  ) {
    let columns = source.columns
    precondition(target.columns == columns && first + rows <= source.rows, "rows do not fit")
    precondition(start + rows <= target.rows, "rows do not fit")
    source.storage.withElements { source in
      target.storage.withMutableElements { target in
        for index in 0..<(rows * columns) {
          target[start * columns + index] = source[first * columns + index]
        }
      }
    }
  }

  // MARK: Before the first stage

  private func embed() throws(ModelError) {
    let c = configuration
    let ids = prompts.flatMap(\.tokens)
    let vocabulary = Int32(c.vocabularySize)
    for token in ids where token < 0 || token >= Int32(c.totalVocabularySize) {
      throw .invalidToken(token, vocabulary: c.totalVocabularySize)
    }
    let table = try binder.matrix(WeightNames.embedding, c.vocabularySize, c.hiddenSize)
    let ordinary = ids.indices.filter { ids[$0] < vocabulary }
    compute.gatherRows(table, rows: ordinary.map { Int(ids[$0]) }, into: &stream, at: ordinary)
    let added = ids.indices.filter { ids[$0] >= vocabulary }
    guard !added.isEmpty else { return }
    let extra = try binder.matrix(
      WeightNames.additionalEmbedding,
      c.additionalVocabularySize,
      c.hiddenSize
    )
    compute.gatherRows(
      extra,
      rows: added.map { Int(ids[$0] - vocabulary) },
      into: &stream,
      at: added
    )
  }

  private func encodeImages(_ cancellation: CancellationFlag) throws {
    let c = configuration
    guard states.rows > 0 else { return }
    let vision = try VisionTransformer(binder, c.vision)
    let visionScratch = try VisionActivations(c.vision, tokens: c.vision.tokens)
    let resampler = try c.perceiver.map {
      (
        try PerceiverResampler(binder, $0, vision: c.vision),
        try PerceiverActivations($0, width: c.vision.width, tokens: c.vision.tokens)
      )
    }
    for (index, pixels) in prompts.flatMap(\.images).enumerated() {
      guard pixels.height == c.vision.imageSize, pixels.width == c.vision.imageSize else {
        throw ModelError.invalidImageSize(height: pixels.height, width: pixels.width)
      }
      let start = index * c.imageStates
      try vision.encode(pixels, compute, visionScratch, cancellation, nil)
      if let (perceiver, activations) = resampler {
        try perceiver.resample(visionScratch.x, compute, activations, cancellation, nil)
        copy(activations.states, from: 0, rows: c.imageStates, to: &states, at: start)
      } else {
        copy(visionScratch.x, from: 0, rows: c.imageStates, to: &states, at: start)
      }
    }
  }

  private static func batches(_ prompts: [LayerwisePrompt]) -> [Batch] {
    var batches: [Batch] = []
    for (index, prompt) in prompts.enumerated() {
      let last = batches.last
      let row = last?.rows.upperBound ?? 0
      let image = last?.images.upperBound ?? 0
      let rows = row..<(row + prompt.tokens.count)
      let images = image..<(image + prompt.images.count)
      if let last, last.rows.count + rows.count <= tokensPerStep {
        batches[batches.count - 1] = Batch(
          prompts: last.prompts.lowerBound..<(index + 1),
          rows: last.rows.lowerBound..<rows.upperBound,
          images: last.images.lowerBound..<images.upperBound
        )
      } else {
        batches.append(Batch(prompts: index..<(index + 1), rows: rows, images: images))
      }
    }
    return batches
  }

  private static func pages(_ tokens: Int) -> Int { (tokens + 15) / 16 }

  private static func pages(_ prompts: ArraySlice<LayerwisePrompt>) -> Int {
    prompts.reduce(0) { $0 + pages($1.tokens.count) }
  }

  private static func store(_ c: Configuration, _ pages: Int) throws(KernelError) -> PageStore {
    try PageStore(pages: pages, heads: c.heads, headDim: c.headDim, element: .f32)
  }
}
