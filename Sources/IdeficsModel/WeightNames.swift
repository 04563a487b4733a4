// Every parameter of an IDEFICS checkpoint: its Hugging Face name, shape and role. The one place
// where those names are spelt. `.idfx` files keep the names, so converter and model agree by this list.

/// What a parameter is for; recipes choose an encoding per role.
public enum WeightRole: String, Sendable, CaseIterable, Codable {
  /// Token embedding `[vocabulary, hidden]`.
  case embedding
  /// Embedding rows of the added tokens.
  case additionalEmbedding = "additional_embedding"
  /// Output head `[vocabulary, hidden]`.
  case head
  /// Head rows of the added tokens.
  case additionalHead = "additional_head"
  /// Decoder self-attention projections.
  case decoderAttention = "decoder_attention"
  /// Decoder MLP.
  case decoderMLP = "decoder_mlp"
  /// Query and output projections of cross blocks.
  case crossAttention = "cross_attention"
  /// Key and value projections of cross blocks, applied to image states.
  case crossImage = "cross_image"
  /// MLP of cross blocks.
  case crossMLP = "cross_mlp"
  /// Patch embedding of the vision tower.
  case visionPatch = "vision_patch"
  /// Attention projections of the vision tower.
  case visionAttention = "vision_attention"
  /// MLP of the vision tower.
  case visionMLP = "vision_mlp"
  /// Attention projections of the resampler.
  case perceiverAttention = "perceiver_attention"
  /// MLP of the resampler.
  case perceiverMLP = "perceiver_mlp"
  /// Norm weights, biases, gates, latents, class and position embeddings: always float32.
  case small

  /// Whether the parameter is a matrix of a linear layer or table, stored packed.
  public var isMatrix: Bool { self != .small }

  /// Whether a pass reads a few rows of the parameter only, wherever its tokens are.
  public var isReadByRow: Bool { self == .embedding || self == .additionalEmbedding }
}

/// One parameter that a checkpoint must have.
public struct WeightSpecification: Sendable, Hashable {
  /// Hugging Face name.
  public let name: String
  /// Shapes that are accepted, the usual one first.
  ///
  /// A packed matrix is `[first, product of rest]`.
  public let shapes: [[Int]]
  /// Role.
  public let role: WeightRole

  init(_ name: String, _ shape: [Int], _ role: WeightRole, or alternatives: [Int]...) {
    self.name = name
    self.shapes = [shape] + alternatives
    self.role = role
  }
}

/// Hugging Face parameter names.
public enum WeightNames {
  static let embedding = "model.embed_tokens.weight"
  static let additionalEmbedding = "model.embed_tokens.additional_embedding.weight"
  static let head = "lm_head.weight"
  static let additionalHead = "lm_head.additional_fc.weight"
  static let finalNorm = "model.norm.weight"
  static let vision = "model.vision_model."
  static let perceiver = "model.perceiver_resampler."

  static func decoderLayer(_ index: Int) -> String { "model.layers.\(index)." }
  static func crossBlock(_ index: Int) -> String { "model.gated_cross_attn_layers.\(index)." }
  static func visionLayer(_ index: Int) -> String { "\(vision)encoder.layers.\(index)." }
  static func perceiverAttention(_ index: Int) -> String { "\(perceiver)blocks.\(index).0." }
  static func perceiverMLP(_ index: Int) -> String { "\(perceiver)blocks.\(index).1." }

  /// Whether a tensor of a published file is known and not a parameter: rotary tables, and position
  /// ids, which are wrong in some published files.
  public static func isIgnored(_ name: String) -> Bool {
    name.hasSuffix(".rotary_emb.inv_freq") || name.hasSuffix(".embeddings.position_ids")
  }

  /// All parameters of a model, in the order in which a pass reads them.
  public static func inventory(of configuration: Configuration) -> [WeightSpecification] {
    visionInventory(configuration) + perceiverInventory(configuration)
      + textInventory(configuration)
  }

  private static func visionInventory(_ c: Configuration) -> [WeightSpecification] {
    let width = c.vision.width
    let patch = c.vision.patchSize
    var list = [
      WeightSpecification("\(vision)embeddings.class_embedding", [width], .small),
      WeightSpecification(
        "\(vision)embeddings.patch_embedding.weight",
        [width, c.vision.channels, patch, patch],
        .visionPatch
      ),
      WeightSpecification(
        "\(vision)embeddings.position_embedding.weight",
        [c.vision.tokens, width],
        .small
      ),
    ]
    list += norm("\(vision)pre_layrnorm", width)
    for layer in 0..<c.vision.layers {
      let prefix = visionLayer(layer)
      list += norm(prefix + "layer_norm1", width)
      for projection in ["q_proj", "k_proj", "v_proj", "out_proj"] {
        let name = "\(prefix)self_attn.\(projection)"
        list.append(WeightSpecification(name + ".weight", [width, width], .visionAttention))
        list.append(WeightSpecification(name + ".bias", [width], .small))
      }
      list += norm(prefix + "layer_norm2", width)
      let inner = c.vision.intermediateSize
      list.append(WeightSpecification(prefix + "mlp.fc1.weight", [inner, width], .visionMLP))
      list.append(WeightSpecification(prefix + "mlp.fc1.bias", [inner], .small))
      list.append(WeightSpecification(prefix + "mlp.fc2.weight", [width, inner], .visionMLP))
      list.append(WeightSpecification(prefix + "mlp.fc2.bias", [width], .small))
    }
    // Nothing reads this norm (it belongs to a pooled output); it is kept so that export is whole.
    return list + norm("\(vision)post_layernorm", width)
  }

  private static func perceiverInventory(_ c: Configuration) -> [WeightSpecification] {
    guard let resampler = c.perceiver else { return [] }
    let width = c.vision.width
    let inner = resampler.innerWidth
    var list = [WeightSpecification("\(perceiver)latents", [resampler.latents, width], .small)]
    for block in 0..<resampler.depth {
      let attention = perceiverAttention(block)
      list += norm(attention + "context_layer_norm", width)
      list += norm(attention + "latents_layer_norm", width)
      if resampler.normalizesQueriesAndKeys {
        list += norm(attention + "q_layer_norm", resampler.headDim)
        list += norm(attention + "k_layer_norm", resampler.headDim)
      }
      for projection in ["q_proj", "k_proj", "v_proj"] {
        list.append(
          WeightSpecification(
            "\(attention)\(projection).weight",
            [inner, width],
            .perceiverAttention
          )
        )
      }
      list.append(
        WeightSpecification(attention + "output_proj.weight", [width, inner], .perceiverAttention)
      )
      let mlp = perceiverMLP(block)
      list += norm(mlp + "ln", width)
      list.append(WeightSpecification(mlp + "fc.weight", [4 * width, width], .perceiverMLP))
      list.append(WeightSpecification(mlp + "c_proj.weight", [width, 4 * width], .perceiverMLP))
    }
    return list + norm("\(perceiver)layer_norm", width)
  }

  private static func textInventory(_ c: Configuration) -> [WeightSpecification] {
    let hidden = c.hiddenSize
    let additional = c.additionalVocabularySize
    var list = [WeightSpecification(embedding, [c.vocabularySize, hidden], .embedding)]
    if additional > 0 {
      list.append(
        WeightSpecification(additionalEmbedding, [additional, hidden], .additionalEmbedding)
      )
    }
    for layer in 0..<c.layers {
      if let block = c.crossBlock(before: layer) { list += crossInventory(c, block: block) }
      let prefix = decoderLayer(layer)
      list.append(WeightSpecification(prefix + "input_layernorm.weight", [hidden], .small))
      for projection in ["q_proj", "k_proj", "v_proj", "o_proj"] {
        list.append(
          WeightSpecification(
            "\(prefix)self_attn.\(projection).weight",
            [hidden, hidden],
            .decoderAttention
          )
        )
      }
      list.append(WeightSpecification(prefix + "post_attention_layernorm.weight", [hidden], .small))
      list += gatedMLP(prefix + "mlp.", c, .decoderMLP)
    }
    list.append(WeightSpecification(finalNorm, [hidden], .small))
    list.append(WeightSpecification(head, [c.vocabularySize, hidden], .head))
    if additional > 0 {
      list.append(WeightSpecification(additionalHead, [additional, hidden], .additionalHead))
    }
    return list
  }

  private static func crossInventory(_ c: Configuration, block: Int) -> [WeightSpecification] {
    let hidden = c.hiddenSize
    let prefix = crossBlock(block)
    var list = [
      WeightSpecification(prefix + "alpha_cross_attn", [1], .small, or: [1, 1, hidden]),
      WeightSpecification(prefix + "input_layernorm.weight", [hidden], .small),
      WeightSpecification(prefix + "cross_attn.q_proj.weight", [hidden, hidden], .crossAttention),
      WeightSpecification(
        prefix + "cross_attn.k_proj.weight",
        [hidden, c.vision.width],
        .crossImage
      ),
      WeightSpecification(
        prefix + "cross_attn.v_proj.weight",
        [hidden, c.vision.width],
        .crossImage
      ),
      WeightSpecification(prefix + "cross_attn.o_proj.weight", [hidden, hidden], .crossAttention),
    ]
    if c.crossNormalizesQueriesAndKeys {
      for norm in ["q_layer_norm", "k_layer_norm"] {
        list.append(WeightSpecification("\(prefix)cross_attn.\(norm).weight", [c.headDim], .small))
      }
    }
    list.append(WeightSpecification(prefix + "alpha_dense", [1], .small, or: [1, 1, hidden]))
    list.append(WeightSpecification(prefix + "post_attention_layernorm.weight", [hidden], .small))
    return list + gatedMLP(prefix + "mlp.", c, .crossMLP)
  }

  private static func gatedMLP(
    _ prefix: String,
    _ c: Configuration,
    _ role: WeightRole
  ) -> [WeightSpecification] {
    [
      WeightSpecification(prefix + "gate_proj.weight", [c.intermediateSize, c.hiddenSize], role),
      WeightSpecification(prefix + "up_proj.weight", [c.intermediateSize, c.hiddenSize], role),
      WeightSpecification(prefix + "down_proj.weight", [c.hiddenSize, c.intermediateSize], role),
    ]
  }

  private static func norm(_ prefix: String, _ width: Int) -> [WeightSpecification] {
    [
      WeightSpecification(prefix + ".weight", [width], .small),
      WeightSpecification(prefix + ".bias", [width], .small),
    ]
  }
}
