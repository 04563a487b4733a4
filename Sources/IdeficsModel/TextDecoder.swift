// The text stack: embedding, decoder layers with a gated cross-attention block before every
// `crossLayerInterval`-th of them, head. This file is the forward pass on one page.

import Kernels
import Tensors

/// Weights of the text stack.
struct TextDecoder {
  let configuration: Configuration
  let weights: any WeightSource
  let embedding: PackedMatrix  // [vocabulary, hidden]
  let additionalEmbedding: PackedMatrix?  // [additional, hidden]
  let crossBlocks: [CrossBlockWeights]
  let layers: [DecoderLayerWeights]
  let finalNorm: DenseTensor  // [hidden]
  let head: [PackedMatrix]  // [vocabulary, hidden], [additional, hidden]

  init(_ binder: WeightBinder, _ c: Configuration) throws(ModelError) {
    configuration = c
    weights = binder.source
    let hidden = c.hiddenSize
    embedding = try binder.matrix(WeightNames.embedding, c.vocabularySize, hidden)
    var head = [try binder.matrix(WeightNames.head, c.vocabularySize, hidden)]
    if c.additionalVocabularySize > 0 {
      additionalEmbedding = try binder.matrix(
        WeightNames.additionalEmbedding,
        c.additionalVocabularySize,
        hidden
      )
      head.append(
        try binder.matrix(WeightNames.additionalHead, c.additionalVocabularySize, hidden)
      )
    } else {
      additionalEmbedding = nil
    }
    self.head = head
    var crossBlocks: [CrossBlockWeights] = []
    for block in 0..<c.crossBlocks { crossBlocks.append(try CrossBlockWeights(binder, block, c)) }
    self.crossBlocks = crossBlocks
    var layers: [DecoderLayerWeights] = []
    for layer in 0..<c.layers { layers.append(try DecoderLayerWeights(binder, layer, c)) }
    self.layers = layers
    finalNorm = try binder.dense(WeightNames.finalNorm, hidden)
  }

  /// One pass over the weights for every row of the step; `logits [step.logitRows, vocabulary]`.
  func forward(
    _ step: StepPlan,
    _ k: ComputeContext,
    _ s: TextActivations,
    cache: PageStore,
    cancellation: CancellationFlag,
    recorder: LayerRecorder?,
    logits: inout Matrix
  ) throws(ModelError) {
    try weights.use(.embedding, unless: cancellation) { embed(step.tokens, k, s) }
    recorder?.record("embed", s.x)
    for (index, layer) in layers.enumerated() {
      if let block = configuration.crossBlock(before: index) {
        try weights.use(.crossBlock(block), unless: cancellation) { () throws(ModelError) in
          let spans = step.crossSpans(block: block)
          try crossBlocks[block]
            .apply(configuration, k, s, spans: spans, cache: cache, cancellation)
        }
        recorder?.record("cross.\(block).out", s.x)
      }
      try weights.use(.decoderLayer(index), unless: cancellation) { () throws(ModelError) in
        try layer.apply(configuration, k, s, step, layer: index, cache: cache, cancellation)
      }
      recorder?.record("layer.\(index).out", s.x)
    }
    guard !step.logitRows.isEmpty else { return logits.resize(rows: 0) }
    keepRows(step.logitRows, s)
    k.rmsNorm(s.x, weight: finalNorm, eps: configuration.rmsNormEpsilon, into: &s.normed)
    recorder?.record("final_norm", s.normed)
    try weights.use(.head, unless: cancellation) { k.linear(s.normed, head, into: &logits) }
  }

  private func embed(_ tokens: [Int32], _ k: ComputeContext, _ s: TextActivations) {
    s.x.resize(rows: tokens.count)
    let vocabulary = Int32(configuration.vocabularySize)
    let ordinary = tokens.indices.filter { tokens[$0] < vocabulary }
    k.gatherRows(embedding, rows: ordinary.map { Int(tokens[$0]) }, into: &s.x, at: ordinary)
    guard let additionalEmbedding else { return }
    let added = tokens.indices.filter { tokens[$0] >= vocabulary }
    k.gatherRows(
      additionalEmbedding,
      rows: added.map { Int(tokens[$0] - vocabulary) },
      into: &s.x,
      at: added
    )
  }

  /// Moves the wanted rows of the residual stream to the front.
  private func keepRows(_ rows: [Int], _ s: TextActivations) {
    let width = s.x.columns
    s.x.storage.withMutableElements { x in
      for (target, row) in rows.enumerated() where target != row {
        for column in 0..<width { x[target * width + column] = x[row * width + column] }
      }
    }
    s.x.resize(rows: rows.count)
  }
}
