// The resampler: a fixed number of learnt latents attend to the vision tokens of one image.
// Source: Alayrac et al., "Flamingo: a visual language model for few-shot learning", 2022.

import Kernels
import Tensors

/// Weights of one resampler block: attention, then MLP.
struct PerceiverBlockWeights: Sendable {
  let contextNorm: LayerNormWeights
  let latentsNorm: LayerNormWeights
  let queryNorm: LayerNormWeights?
  let keyNorm: LayerNormWeights?
  let query: PackedMatrix  // [inner, width]
  let key: PackedMatrix  // [inner, width]
  let value: PackedMatrix  // [inner, width]
  let output: PackedMatrix  // [width, inner]
  let mlpNorm: LayerNormWeights
  let up: PackedMatrix  // [4 · width, width]
  let down: PackedMatrix  // [width, 4 · width]

  init(
    _ binder: WeightBinder,
    _ index: Int,
    _ c: Configuration.Perceiver,
    width: Int
  ) throws(ModelError) {
    let attention = WeightNames.perceiverAttention(index)
    let mlp = WeightNames.perceiverMLP(index)
    contextNorm = try binder.layerNorm(attention + "context_layer_norm", width)
    latentsNorm = try binder.layerNorm(attention + "latents_layer_norm", width)
    if c.normalizesQueriesAndKeys {
      queryNorm = try binder.layerNorm(attention + "q_layer_norm", c.headDim)
      keyNorm = try binder.layerNorm(attention + "k_layer_norm", c.headDim)
    } else {
      queryNorm = nil
      keyNorm = nil
    }
    query = try binder.matrix(attention + "q_proj.weight", c.innerWidth, width)
    key = try binder.matrix(attention + "k_proj.weight", c.innerWidth, width)
    value = try binder.matrix(attention + "v_proj.weight", c.innerWidth, width)
    output = try binder.matrix(attention + "output_proj.weight", width, c.innerWidth)
    mlpNorm = try binder.layerNorm(mlp + "ln", width)
    up = try binder.matrix(mlp + "fc.weight", 4 * width, width)
    down = try binder.matrix(mlp + "c_proj.weight", width, 4 * width)
  }
}

/// The resampler.
struct PerceiverResampler {
  let configuration: Configuration.Perceiver
  let weights: any WeightSource
  let epsilon: Float
  let latents: DenseTensor  // [latents, width]
  let blocks: [PerceiverBlockWeights]
  let finalNorm: LayerNormWeights

  init(
    _ binder: WeightBinder,
    _ c: Configuration.Perceiver,
    vision: Configuration.Vision
  ) throws(ModelError) {
    configuration = c
    weights = binder.source
    // The reference resampler uses LayerNorm's own default, whatever the vision tower is given.
    epsilon = 1e-5
    latents = try binder.dense("\(WeightNames.perceiver)latents", c.latents * vision.width)
    var blocks: [PerceiverBlockWeights] = []
    for index in 0..<c.depth {
      blocks.append(try PerceiverBlockWeights(binder, index, c, width: vision.width))
    }
    self.blocks = blocks
    finalNorm = try binder.layerNorm("\(WeightNames.perceiver)layer_norm", vision.width)
  }

  /// Resamples `context [tokens, width]`; `s.states` holds the result `[latents, width]`.
  func resample(
    _ context: borrowing Matrix,
    _ k: ComputeContext,
    _ s: PerceiverActivations,
    _ cancellation: CancellationFlag,
    _ recorder: LayerRecorder?
  ) throws(ModelError) {
    let c = configuration
    let inner = c.innerWidth
    let keys = context.rows + c.latents
    let scale = 1 / Float(c.headDim).squareRoot()
    let span = AttentionSpan(
      queryRows: 0..<c.latents,
      pages: s.pages,
      keyCount: keys,
      isCausal: false
    )
    for (index, value) in latents.values.enumerated() { s.x.storage[index] = value }

    for (index, w) in blocks.enumerated() {
      guard !cancellation.isRaised else { throw .cancelled }
      try weights.acquire(.resamplerBlock(index))
      defer { weights.release(.resamplerBlock(index)) }
      k.layerNorm(
        context,
        weight: w.contextNorm.weight,
        bias: w.contextNorm.bias,
        eps: epsilon,
        into: &s.context
      )
      k.layerNorm(
        s.x,
        weight: w.latentsNorm.weight,
        bias: w.latentsNorm.bias,
        eps: epsilon,
        into: &s.normed
      )
      // Keys and values come from the vision tokens followed by the latents themselves.
      k.linear(s.context, [w.key, w.value], into: &s.contextKeyValue)
      k.linear(s.normed, [w.key, w.value, w.query], into: &s.projected)
      if let norm = w.keyNorm {
        k.headNorm(
          &s.contextKeyValue,
          column: 0,
          heads: c.heads,
          headDim: c.headDim,
          weight: norm.weight,
          bias: norm.bias,
          eps: epsilon
        )
        k.headNorm(
          &s.projected,
          column: 0,
          heads: c.heads,
          headDim: c.headDim,
          weight: norm.weight,
          bias: norm.bias,
          eps: epsilon
        )
      }
      if let norm = w.queryNorm {
        k.headNorm(
          &s.projected,
          column: 2 * inner,
          heads: c.heads,
          headDim: c.headDim,
          weight: norm.weight,
          bias: norm.bias,
          eps: epsilon
        )
      }
      k.store(
        keys: s.contextKeyValue,
        keyColumn: 0,
        values: s.contextKeyValue,
        valueColumn: inner,
        spans: [StoreSpan(rows: 0..<context.rows, pages: s.pages, start: 0)],
        into: s.cache
      )
      k.store(
        keys: s.projected,
        keyColumn: 0,
        values: s.projected,
        valueColumn: inner,
        spans: [StoreSpan(rows: 0..<c.latents, pages: s.pages, start: context.rows)],
        into: s.cache
      )
      k.attention(
        s.projected,
        column: 2 * inner,
        scale: scale,
        spans: [span],
        cache: s.cache,
        into: &s.attended
      )
      k.linearAdd(s.attended, w.output, into: &s.x)
      recorder?.record("perceiver.block.\(index).attn_out", s.x)

      k.layerNorm(
        s.x,
        weight: w.mlpNorm.weight,
        bias: w.mlpNorm.bias,
        eps: epsilon,
        into: &s.normed
      )
      k.linear(s.normed, w.up, activation: .relu, into: &s.inner)
      k.linearAdd(s.inner, w.down, into: &s.x)
      recorder?.record("perceiver.block.\(index).mlp_out", s.x)
    }
    k.layerNorm(
      s.x,
      weight: finalNorm.weight,
      bias: finalNorm.bias,
      eps: epsilon,
      into: &s.states
    )
  }
}

/// Scratch of one pass of the resampler over one image.
final class PerceiverActivations {
  var x: Matrix  // [latents, width], the residual stream
  var context: Matrix  // [tokens, width], normed vision tokens
  var normed: Matrix  // [latents, width]
  var contextKeyValue: Matrix  // [tokens, 2 · inner], k | v
  var projected: Matrix  // [latents, 3 · inner], k | v | q
  var attended: Matrix  // [latents, inner]
  var inner: Matrix  // [latents, 4 · width]
  var states: Matrix  // [latents, width]
  let cache: PageStore  // keys and values of one block, float32
  let pages: [Int32]

  init(_ c: Configuration.Perceiver, width: Int, tokens: Int) throws(KernelError) {
    x = Matrix(rows: c.latents, columns: width)
    context = Matrix(rows: tokens, columns: width)
    normed = Matrix(rows: c.latents, columns: width)
    contextKeyValue = Matrix(rows: tokens, columns: 2 * c.innerWidth)
    projected = Matrix(rows: c.latents, columns: 3 * c.innerWidth)
    attended = Matrix(rows: c.latents, columns: c.innerWidth)
    inner = Matrix(rows: c.latents, columns: 4 * width)
    states = Matrix(rows: c.latents, columns: width)
    pages = Array(0..<Int32((tokens + c.latents + 15) / 16))
    cache = try PageStore(pages: pages.count, heads: c.heads, headDim: c.headDim, element: .f32)
  }
}
