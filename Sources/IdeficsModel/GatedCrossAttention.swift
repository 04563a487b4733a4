// The gated cross-attention block: text tokens look at the states of one image.
// Source: Alayrac et al., "Flamingo", 2022; gates and q/k norms as in the IDEFICS checkpoints.

import Kernels
import Tensors

/// Weights of one gated cross-attention block.
struct CrossBlockWeights: Sendable {
  let attentionNorm: DenseTensor  // [hidden]
  let query: PackedMatrix  // [hidden, hidden]
  let key: PackedMatrix  // [hidden, vision width]
  let value: PackedMatrix  // [hidden, vision width]
  let output: PackedMatrix  // [hidden, hidden]
  let queryNorm: DenseTensor?  // [headDim]
  let keyNorm: DenseTensor?  // [headDim]
  let attentionGate: DenseTensor  // tanh(alpha_cross_attn), [1] or [hidden]
  let mlpNorm: DenseTensor  // [hidden]
  let mlp: GatedMLPWeights
  let mlpGate: DenseTensor  // tanh(alpha_dense), [1] or [hidden]

  init(_ binder: WeightBinder, _ index: Int, _ c: Configuration) throws(ModelError) {
    let prefix = WeightNames.crossBlock(index)
    let attention = prefix + "cross_attn."
    let hidden = c.hiddenSize
    attentionNorm = try binder.dense(prefix + "input_layernorm.weight", hidden)
    query = try binder.matrix(attention + "q_proj.weight", hidden, hidden)
    key = try binder.matrix(attention + "k_proj.weight", hidden, c.vision.width)
    value = try binder.matrix(attention + "v_proj.weight", hidden, c.vision.width)
    output = try binder.matrix(attention + "o_proj.weight", hidden, hidden)
    if c.crossNormalizesQueriesAndKeys {
      queryNorm = try binder.dense(attention + "q_layer_norm.weight", c.headDim)
      keyNorm = try binder.dense(attention + "k_layer_norm.weight", c.headDim)
    } else {
      queryNorm = nil
      keyNorm = nil
    }
    attentionGate = tanh(try binder.dense(prefix + "alpha_cross_attn", 1, hidden))
    mlpNorm = try binder.dense(prefix + "post_attention_layernorm.weight", hidden)
    mlp = try GatedMLPWeights(binder, prefix + "mlp.", c)
    mlpGate = tanh(try binder.dense(prefix + "alpha_dense", 1, hidden))
  }

  /// Writes the keys and values of one image for this block to `pages`: done once per image.
  func cacheImage(
    _ states: borrowing Matrix,
    _ c: Configuration,
    _ k: ComputeContext,
    scratch s: TextActivations,
    into cache: PageStore,
    pages: [Int32]
  ) {
    s.shapeForImage(states: states.rows, c)
    k.linear(states, [key, value], into: &s.projected)
    if let keyNorm {
      k.headNorm(
        &s.projected,
        column: 0,
        heads: c.heads,
        headDim: c.headDim,
        weight: keyNorm,
        bias: nil,
        eps: c.rmsNormEpsilon
      )
    }
    k.store(
      keys: s.projected,
      keyColumn: 0,
      values: s.projected,
      valueColumn: c.hiddenSize,
      spans: [StoreSpan(rows: 0..<states.rows, pages: pages, start: 0)],
      into: cache
    )
  }

  /// `x += tanh(α) · attention(x, image)`, then `x += tanh(β) · MLP(x)`.
  ///
  /// A token that attends to no image has a span without keys: its attention output is exactly zero,
  /// which is the gate. The MLP half runs for every token, images or not. `attended` is shown what attention gives,
  /// before it is projected.
  func apply(
    _ c: Configuration,
    _ k: ComputeContext,
    _ s: TextActivations,
    spans: [AttentionSpan],
    cache: PageStore,
    _ cancellation: CancellationFlag,
    attended: (borrowing Matrix) -> Void = { _ in }
  ) throws(ModelError) {
    k.rmsNorm(s.x, weight: attentionNorm, eps: c.rmsNormEpsilon, into: &s.normed)
    s.projected.reshape(columns: c.hiddenSize)
    k.linear(s.normed, query, into: &s.projected)
    if let queryNorm {
      k.headNorm(
        &s.projected,
        column: 0,
        heads: c.heads,
        headDim: c.headDim,
        weight: queryNorm,
        bias: nil,
        eps: c.rmsNormEpsilon
      )
    }
    k.attention(
      s.projected,
      column: 0,
      scale: 1 / Float(c.headDim).squareRoot(),
      spans: spans,
      cache: cache,
      into: &s.normed
    )
    attended(s.normed)
    k.linearAdd(s.normed, output, scale: attentionGate, into: &s.x)

    guard !cancellation.isRaised else { throw .cancelled }
    k.rmsNorm(s.x, weight: mlpNorm, eps: c.rmsNormEpsilon, into: &s.normed)
    mlp.applyInner(c, k, s)
    k.linearAdd(s.inner, mlp.down, scale: mlpGate, into: &s.x)
  }
}
