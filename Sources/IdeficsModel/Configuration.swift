// The numbers of one IDEFICS checkpoint, read from its config.json and validated before anything is
// sized by them. Knows the layouts that were published: nested `vision_config` and
// `perceiver_config`, and the flat names of early revisions. Refuses architectures it cannot run.

import Foundation

/// Activation function of the vision tower's MLP.
public enum VisionActivation: String, Sendable {
  /// `x/2 · (1 + erf(x/√2))`.
  case gelu
  /// `x · σ(1.702 x)`.
  case quickGelu = "quick_gelu"
}

/// Validated hyper-parameters of an IDEFICS checkpoint.
public struct Configuration: Sendable, Equatable {
  /// CLIP vision tower.
  public struct Vision: Sendable, Equatable {
    /// Width of the tower, and of the image states.
    public var width: Int
    /// Pixels along each side of an image.
    public var imageSize: Int
    /// Pixels along each side of a patch.
    public var patchSize: Int
    /// Colour channels.
    public var channels: Int
    /// Width of the MLP.
    public var intermediateSize: Int
    /// Number of layers.
    public var layers: Int
    /// Attention heads.
    public var heads: Int
    /// Activation of the MLP.
    public var activation: VisionActivation
    /// LayerNorm epsilon.
    public var layerNormEpsilon: Float

    /// Width of one head.
    public var headDim: Int { width / heads }
    /// Patches along each side.
    public var grid: Int { imageSize / patchSize }
    /// Vectors per image: the class token and one per patch.
    public var tokens: Int { grid * grid + 1 }
    /// Values in one patch: the input width of the patch embedding.
    public var patchValues: Int { channels * patchSize * patchSize }
  }

  /// Perceiver resampler.
  public struct Perceiver: Sendable, Equatable {
    /// Number of blocks.
    public var depth: Int
    /// Latent vectors per image.
    public var latents: Int
    /// Attention heads.
    public var heads: Int
    /// Width of one head; `heads · headDim` need not equal the vision width.
    public var headDim: Int
    /// Whether queries and keys are layer-normed per head.
    public var normalizesQueriesAndKeys: Bool

    /// Width of queries, keys and values.
    public var innerWidth: Int { heads * headDim }
  }

  /// Width of the text stack.
  public var hiddenSize: Int
  /// Width of the text MLP.
  public var intermediateSize: Int
  /// Decoder layers.
  public var layers: Int
  /// Attention heads of decoder layers and cross blocks.
  public var heads: Int
  /// RMSNorm epsilon, used everywhere in the text stack.
  public var rmsNormEpsilon: Float
  /// Ordinary vocabulary.
  public var vocabularySize: Int
  /// Added tokens: rows of the additional embedding and head.
  public var additionalVocabularySize: Int
  /// A cross block stands before every decoder layer whose index is a multiple of this.
  public var crossLayerInterval: Int
  /// Whether cross-attention queries and keys are RMS-normed per head.
  public var crossNormalizesQueriesAndKeys: Bool
  /// Positions the model was trained on; later ones are computed, not refused.
  public var maxPositions: Int
  /// Begin-of-sequence token.
  public var bosToken: Int
  /// End-of-sequence token.
  public var eosToken: Int
  /// Padding token.
  public var padToken: Int
  /// Vision tower.
  public var vision: Vision
  /// Resampler, or `nil` when vision tokens are used directly.
  public var perceiver: Perceiver?

  /// Width of one head of the text stack.
  public var headDim: Int { hiddenSize / heads }
  /// Gated cross-attention blocks.
  public var crossBlocks: Int { layers / crossLayerInterval }

  /// The cross block that runs before decoder layer `layer`, or `nil` when none does.
  public func crossBlock(before layer: Int) -> Int? {
    let block = layer / crossLayerInterval
    return layer % crossLayerInterval == 0 && block < crossBlocks ? block : nil
  }
  /// Width of the logits.
  public var totalVocabularySize: Int { vocabularySize + additionalVocabularySize }
  /// Vectors per image that the text stack attends to.
  public var imageStates: Int { perceiver?.latents ?? vision.tokens }

  /// Reads and validates a `config.json`.
  ///
  /// - Parameter json: the file's bytes.
  /// - Throws: `ConfigurationError` naming the field.
  public init(json: [UInt8]) throws(ConfigurationError) {
    let raw: RawConfiguration
    do {
      raw = try JSONDecoder().decode(RawConfiguration.self, from: Data(json))
    } catch let error as DecodingError {
      throw .malformed(Self.describe(error))
    } catch {
      throw .malformed("it is not a JSON object")
    }
    try self.init(raw)
  }

  private init(_ raw: RawConfiguration) throws(ConfigurationError) {
    if let type = raw.modelType, type != "idefics" {
      throw .unsupported(field: "model_type", value: type)
    }
    if let activation = raw.hiddenAct, activation != "silu" {
      throw .unsupported(field: "hidden_act", value: activation)
    }
    if raw.tieWordEmbeddings == true {
      throw .unsupported(field: "tie_word_embeddings", value: "true")
    }
    hiddenSize = try Self.size("hidden_size", raw.hiddenSize, fallback: 4096, limit: 1 << 16)
    intermediateSize = try Self.size(
      "intermediate_size",
      raw.intermediateSize,
      fallback: 11008,
      limit: 1 << 18
    )
    layers = try Self.size("num_hidden_layers", raw.numHiddenLayers, fallback: 32, limit: 1024)
    heads = try Self.size("num_attention_heads", raw.numAttentionHeads, fallback: 32, limit: 1024)
    rmsNormEpsilon = try Self.epsilon("rms_norm_eps", raw.rmsNormEps, fallback: 1e-6)
    vocabularySize = try Self.size("vocab_size", raw.vocabSize, fallback: 32000, limit: 1 << 24)
    let additional = raw.additionalVocabSize ?? 0
    guard (0...65536).contains(additional) else {
      throw .outOfRange(field: "additional_vocab_size", value: additional, limit: 65536)
    }
    additionalVocabularySize = additional
    crossLayerInterval = try Self.size(
      "cross_layer_interval",
      raw.crossLayerInterval,
      fallback: 1,
      limit: 1024
    )
    crossNormalizesQueriesAndKeys = raw.qkLayerNorms ?? false
    maxPositions = try Self.size(
      "max_position_embeddings",
      raw.maxPositionEmbeddings ?? raw.maxSequenceLength,
      fallback: 2048,
      limit: 1 << 20
    )
    bosToken = raw.bosTokenId ?? 1
    eosToken = raw.eosTokenId ?? 2
    padToken = raw.padTokenId ?? 0
    vision = try Vision(raw)
    perceiver = raw.useResampler ?? false ? try Perceiver(raw) : nil

    guard hiddenSize % heads == 0 else {
      throw .notDivisible("hidden_size", hiddenSize, by: "num_attention_heads", heads)
    }
    guard headDim % 2 == 0 else {
      throw .unsupported(field: "head size", value: "\(headDim), which is odd")
    }
    guard layers % crossLayerInterval == 0 else {
      throw .notDivisible(
        "num_hidden_layers",
        layers,
        by: "cross_layer_interval",
        crossLayerInterval
      )
    }
  }

  static func size(
    _ field: String,
    _ value: Int?,
    fallback: Int,
    limit: Int
  ) throws(ConfigurationError) -> Int {
    let value = value ?? fallback
    guard (1...limit).contains(value) else {
      throw .outOfRange(field: field, value: value, limit: limit)
    }
    return value
  }

  static func epsilon(
    _ field: String,
    _ value: Double?,
    fallback: Double
  ) throws(ConfigurationError) -> Float {
    let value = value ?? fallback
    guard value.isFinite, value >= 0, value < 1 else {
      throw .unsupported(field: field, value: "\(value)")
    }
    return Float(value)
  }

  private static func describe(_ error: DecodingError) -> String {
    switch error {
    case .typeMismatch(let type, let context):
      "\(path(context)) is not of type \(type)"
    case .valueNotFound(_, let context), .keyNotFound(_, let context):
      "\(path(context)) is missing"
    case .dataCorrupted(let context):
      context.codingPath.isEmpty ? "it is not valid JSON" : "\(path(context)) is out of range"
    @unknown default:
      "it cannot be decoded"
    }
  }

  private static func path(_ context: DecodingError.Context) -> String {
    let path = context.codingPath.map(\.stringValue).joined(separator: ".")
    return path.isEmpty ? "the top level" : "\"\(path)\""
  }
}

extension Configuration.Vision {
  /// Most patches along a side: 16 times what the published models have.
  private static let maximumGrid = 256

  fileprivate init(_ raw: RawConfiguration) throws(ConfigurationError) {
    typealias Parse = Configuration
    let nested = raw.visionConfig
    let name = "vision_config."
    // 768 is the default of the reference class, not of the published models.
    width = try Parse.size(
      name + "embed_dim",
      nested?.embedDim ?? raw.visionEmbedDim,
      fallback: 768,
      limit: 1 << 16
    )
    imageSize = try Parse.size(
      name + "image_size",
      nested?.imageSize ?? raw.visionImageSize,
      fallback: 224,
      limit: 4096
    )
    patchSize = try Parse.size(
      name + "patch_size",
      nested?.patchSize ?? raw.visionPatchSize,
      fallback: 14,
      limit: 4096
    )
    channels = try Parse.size(name + "num_channels", nested?.numChannels, fallback: 3, limit: 3)
    intermediateSize = try Parse.size(
      name + "intermediate_size",
      nested?.intermediateSize ?? raw.visionIntermediateSize,
      fallback: 5120,
      limit: 1 << 18
    )
    layers = try Parse.size(
      name + "num_hidden_layers",
      nested?.numHiddenLayers ?? raw.visionNumHiddenLayers,
      fallback: 32,
      limit: 1024
    )
    heads = try Parse.size(
      name + "num_attention_heads",
      nested?.numAttentionHeads ?? raw.visionNumAttentionHeads,
      fallback: 16,
      limit: 1024
    )
    let activationName = nested?.hiddenAct ?? "gelu"
    guard let known = VisionActivation(rawValue: activationName) else {
      throw .unsupported(field: name + "hidden_act", value: activationName)
    }
    activation = known
    layerNormEpsilon = try Parse.epsilon(
      name + "layer_norm_eps",
      nested?.layerNormEps,
      fallback: 1e-5
    )

    guard channels == 3 else {
      throw .unsupported(field: name + "num_channels", value: "\(channels)")
    }
    guard width % heads == 0 else {
      throw .notDivisible(name + "embed_dim", width, by: "num_attention_heads", heads)
    }
    guard imageSize >= patchSize else {
      throw .outOfRange(field: name + "patch_size", value: patchSize, limit: imageSize)
    }
    guard imageSize / patchSize <= Self.maximumGrid else {
      throw .outOfRange(
        field: name + "image_size",
        value: imageSize,
        limit: patchSize * Self.maximumGrid
      )
    }
  }
}

extension Configuration.Perceiver {
  fileprivate init(_ raw: RawConfiguration) throws(ConfigurationError) {
    typealias Parse = Configuration
    let nested = raw.perceiverConfig
    let name = "perceiver_config."
    depth = try Parse.size(
      name + "resampler_depth",
      nested?.resamplerDepth ?? raw.resamplerDepth,
      fallback: 6,
      limit: 256
    )
    latents = try Parse.size(
      name + "resampler_n_latents",
      nested?.resamplerNLatents ?? raw.resamplerNLatents,
      fallback: 64,
      limit: 4096
    )
    heads = try Parse.size(
      name + "resampler_n_heads",
      nested?.resamplerNHeads ?? raw.resamplerNHeads,
      fallback: 16,
      limit: 1024
    )
    headDim = try Parse.size(
      name + "resampler_head_dim",
      nested?.resamplerHeadDim ?? raw.resamplerHeadDim,
      fallback: 96,
      limit: 4096
    )
    normalizesQueriesAndKeys =
      nested?.qkLayerNormsPerceiver ?? raw.qkLayerNormsPerceiver ?? false
  }
}
