// One LLaMA decoder layer: causal self-attention with rotary positions, then a SwiGLU MLP.
// Source: Touvron et al., "LLaMA: open and efficient foundation language models", 2023.

import Kernels
import Tensors

/// Weights of one decoder layer.
struct DecoderLayerWeights: Sendable {
  let attentionNorm: DenseTensor  // [hidden]
  let query: PackedMatrix  // [hidden, hidden]
  let key: PackedMatrix  // [hidden, hidden]
  let value: PackedMatrix  // [hidden, hidden]
  let output: PackedMatrix  // [hidden, hidden]
  let mlpNorm: DenseTensor  // [hidden]
  let mlp: GatedMLPWeights

  init(_ binder: WeightBinder, _ index: Int, _ c: Configuration) throws(ModelError) {
    let prefix = WeightNames.decoderLayer(index)
    let hidden = c.hiddenSize
    attentionNorm = try binder.dense(prefix + "input_layernorm.weight", hidden)
    query = try binder.matrix(prefix + "self_attn.q_proj.weight", hidden, hidden)
    key = try binder.matrix(prefix + "self_attn.k_proj.weight", hidden, hidden)
    value = try binder.matrix(prefix + "self_attn.v_proj.weight", hidden, hidden)
    output = try binder.matrix(prefix + "self_attn.o_proj.weight", hidden, hidden)
    mlpNorm = try binder.dense(prefix + "post_attention_layernorm.weight", hidden)
    mlp = try GatedMLPWeights(binder, prefix + "mlp.", c)
  }

  /// `x += attention(x)`, then `x += MLP(x)`; the new keys and values go into the sequences' pages of
  /// this layer first, so that a token sees itself.
  ///
  /// `attended` is shown what attention gives, before it is projected.
  func apply(
    _ c: Configuration,
    _ k: ComputeContext,
    _ s: TextActivations,
    _ step: StepPlan,
    layer: Int,
    cache: PageStore,
    _ cancellation: CancellationFlag,
    attended: (borrowing Matrix) -> Void = { _ in }
  ) throws(ModelError) {
    let hidden = c.hiddenSize
    k.rmsNorm(s.x, weight: attentionNorm, eps: c.rmsNormEpsilon, into: &s.normed)
    s.projected.reshape(columns: 3 * hidden)
    k.linear(s.normed, [query, key, value], into: &s.projected)
    k.rotary(
      &s.projected,
      column: 0,
      heads: c.heads,
      headDim: c.headDim,
      positions: step.positions
    )
    k.rotary(
      &s.projected,
      column: hidden,
      heads: c.heads,
      headDim: c.headDim,
      positions: step.positions
    )
    k.store(
      keys: s.projected,
      keyColumn: hidden,
      values: s.projected,
      valueColumn: 2 * hidden,
      spans: step.slices.map {
        StoreSpan(rows: $0.rows, pages: $0.pages.layers[layer], start: $0.position)
      },
      into: cache
    )
    k.attention(
      s.projected,
      column: 0,
      scale: 1 / Float(c.headDim).squareRoot(),
      spans: step.selfSpans(layer: layer),
      cache: cache,
      into: &s.normed
    )
    attended(s.normed)
    k.linearAdd(s.normed, output, into: &s.x)

    guard !cancellation.isRaised else { throw .cancelled }
    k.rmsNorm(s.x, weight: mlpNorm, eps: c.rmsNormEpsilon, into: &s.normed)
    mlp.applyInner(c, k, s)
    k.linearAdd(s.inner, mlp.down, into: &s.x)
  }
}
