// CLIP ViT-H/14 without its pooled output: pixels in, one vector per patch plus the class token out.
// Source: Radford et al., "Learning transferable visual models from natural language supervision",
// 2021; the layer as in the transformers implementation of IDEFICS.

import Kernels
import Tensors

/// Weights of one vision layer.
struct VisionLayerWeights: Sendable {
  let attentionNorm: LayerNormWeights
  let query: LinearWeights
  let key: LinearWeights
  let value: LinearWeights
  let output: LinearWeights
  let mlpNorm: LayerNormWeights
  let up: LinearWeights
  let down: LinearWeights

  init(_ binder: WeightBinder, _ index: Int, _ c: Configuration.Vision) throws(ModelError) {
    let prefix = WeightNames.visionLayer(index)
    attentionNorm = try binder.layerNorm(prefix + "layer_norm1", c.width)
    query = try binder.linear(prefix + "self_attn.q_proj", c.width, c.width)
    key = try binder.linear(prefix + "self_attn.k_proj", c.width, c.width)
    value = try binder.linear(prefix + "self_attn.v_proj", c.width, c.width)
    output = try binder.linear(prefix + "self_attn.out_proj", c.width, c.width)
    mlpNorm = try binder.layerNorm(prefix + "layer_norm2", c.width)
    up = try binder.linear(prefix + "mlp.fc1", c.intermediateSize, c.width)
    down = try binder.linear(prefix + "mlp.fc2", c.width, c.intermediateSize)
  }
}

/// The vision tower.
struct VisionTransformer {
  let configuration: Configuration.Vision
  let weights: any WeightSource
  let classEmbedding: DenseTensor  // [width]
  let patchEmbedding: PackedMatrix  // [width, channels · patch · patch]
  let positionEmbedding: DenseTensor  // [1 + grid², width], class token first
  let preNorm: LayerNormWeights
  let layers: [VisionLayerWeights]

  init(_ binder: WeightBinder, _ c: Configuration.Vision) throws(ModelError) {
    configuration = c
    weights = binder.source
    let prefix = "\(WeightNames.vision)embeddings."
    classEmbedding = try binder.dense(prefix + "class_embedding", c.width)
    patchEmbedding = try binder.matrix(prefix + "patch_embedding.weight", c.width, c.patchValues)
    positionEmbedding = try binder.dense(prefix + "position_embedding.weight", c.tokens * c.width)
    preNorm = try binder.layerNorm("\(WeightNames.vision)pre_layrnorm", c.width)
    var layers: [VisionLayerWeights] = []
    for index in 0..<c.layers { layers.append(try VisionLayerWeights(binder, index, c)) }
    self.layers = layers
  }

  /// Runs the tower on one image; `s.x` holds the result `[1 + patches, width]`.
  func encode(
    _ image: PixelTensor,
    _ k: ComputeContext,
    _ s: VisionActivations,
    _ cancellation: CancellationFlag,
    _ recorder: LayerRecorder?
  ) throws(ModelError) {
    let c = configuration
    let tokens = s.tokens
    image.copyPatches(of: c.patchSize, into: &s.patches)
    try weights.use(.patchEmbedding, unless: cancellation) {
      k.linear(s.patches, patchEmbedding, into: &s.patchVectors)
    }
    embed(image, s)
    recorder?.record("vision.embeddings", s.x)
    k.layerNorm(
      s.x,
      weight: preNorm.weight,
      bias: preNorm.bias,
      eps: c.layerNormEpsilon,
      into: &s.normed
    )
    swap(&s.x, &s.normed)
    recorder?.record("vision.pre_layrnorm", s.x)

    let scale = 1 / Float(c.headDim).squareRoot()
    let span = AttentionSpan(
      queryRows: 0..<tokens,
      pages: s.pages,
      keyCount: tokens,
      isCausal: false
    )
    for (index, w) in layers.enumerated() {
      guard !cancellation.isRaised else { throw .cancelled }
      try weights.acquire(.visionLayer(index))
      defer { weights.release(.visionLayer(index)) }
      let norm = w.attentionNorm
      k.layerNorm(
        s.x,
        weight: norm.weight,
        bias: norm.bias,
        eps: c.layerNormEpsilon,
        into: &s.normed
      )
      k.linear(
        s.normed,
        [w.query.weight, w.key.weight, w.value.weight],
        bias: [w.query.bias, w.key.bias, w.value.bias],
        into: &s.projected
      )
      k.store(
        keys: s.projected,
        keyColumn: c.width,
        values: s.projected,
        valueColumn: 2 * c.width,
        spans: [StoreSpan(rows: 0..<tokens, pages: s.pages, start: 0)],
        into: s.cache
      )
      k.attention(
        s.projected,
        column: 0,
        scale: scale,
        spans: [span],
        cache: s.cache,
        into: &s.attended
      )
      k.linearAdd(s.attended, w.output.weight, bias: w.output.bias, into: &s.x)

      guard !cancellation.isRaised else { throw .cancelled }
      k.layerNorm(
        s.x,
        weight: w.mlpNorm.weight,
        bias: w.mlpNorm.bias,
        eps: c.layerNormEpsilon,
        into: &s.normed
      )
      k.linear(
        s.normed,
        w.up.weight,
        bias: w.up.bias,
        activation: c.activation == .gelu ? .gelu : .quickGelu,
        into: &s.inner
      )
      k.linearAdd(s.inner, w.down.weight, bias: w.down.bias, into: &s.x)
      recorder?.record("vision.layer.\(index)", s.x)
    }
  }

  /// `x = [class; patches] + positions`.
  private func embed(_ image: PixelTensor, _ s: VisionActivations) {
    let width = configuration.width
    let positions = positionEmbedding(for: image)
    for column in 0..<width {
      s.x[0, column] = classEmbedding.values[column] + positions[column]
    }
    for row in 1..<s.tokens {
      for column in 0..<width {
        s.x[row, column] = s.patchVectors[row - 1, column] + positions[row * width + column]
      }
    }
  }

  /// Position embedding `[1 + patches, width]` for the size of `image`: the stored one at the size the
  /// tower was trained on, a resampled one otherwise.
  private func positionEmbedding(for image: PixelTensor) -> [Float] {
    let c = configuration
    let stored = positionEmbedding.values
    guard image.height != c.imageSize || image.width != c.imageSize else { return stored }
    let grid = PositionGrid(side: c.grid, width: c.width, values: Array(stored.dropFirst(c.width)))
    return stored.prefix(c.width)
      + grid.resampled(rows: image.height / c.patchSize, columns: image.width / c.patchSize)
  }
}

/// Scratch of one pass of the vision tower over one image of `tokens − 1` patches.
final class VisionActivations {
  let tokens: Int
  var patches: Matrix  // [patches, channels · patch · patch]
  var patchVectors: Matrix  // [patches, width]
  var x: Matrix  // [tokens, width], the residual stream
  var normed: Matrix  // [tokens, width]
  var projected: Matrix  // [tokens, 3 · width], q | k | v
  var attended: Matrix  // [tokens, width]
  var inner: Matrix  // [tokens, intermediate]
  let cache: PageStore  // keys and values of one layer, float32
  let pages: [Int32]

  init(_ c: Configuration.Vision, tokens: Int) throws(KernelError) {
    self.tokens = tokens
    patches = Matrix(rows: tokens - 1, columns: c.patchValues)
    patchVectors = Matrix(rows: tokens - 1, columns: c.width)
    x = Matrix(rows: tokens, columns: c.width)
    normed = Matrix(rows: tokens, columns: c.width)
    projected = Matrix(rows: tokens, columns: 3 * c.width)
    attended = Matrix(rows: tokens, columns: c.width)
    inner = Matrix(rows: tokens, columns: c.intermediateSize)
    pages = Array(0..<Int32((tokens + 15) / 16))
    cache = try PageStore(pages: pages.count, heads: c.heads, headDim: c.headDim, element: .f32)
  }
}
