// config.json as it is spelt, nothing defaulted or checked: every field may be missing.

/// The fields of a published config.json that matter, in both of its layouts.
struct RawConfiguration: Decodable {
  struct Vision: Decodable {
    var embedDim: Int?
    var imageSize: Int?
    var patchSize: Int?
    var numChannels: Int?
    var intermediateSize: Int?
    var numHiddenLayers: Int?
    var numAttentionHeads: Int?
    var hiddenAct: String?
    var layerNormEps: Double?

    enum CodingKeys: String, CodingKey {
      case embedDim = "embed_dim"
      case imageSize = "image_size"
      case patchSize = "patch_size"
      case numChannels = "num_channels"
      case intermediateSize = "intermediate_size"
      case numHiddenLayers = "num_hidden_layers"
      case numAttentionHeads = "num_attention_heads"
      case hiddenAct = "hidden_act"
      case layerNormEps = "layer_norm_eps"
    }
  }

  struct Perceiver: Decodable {
    var resamplerDepth: Int?
    var resamplerNLatents: Int?
    var resamplerNHeads: Int?
    var resamplerHeadDim: Int?
    var qkLayerNormsPerceiver: Bool?

    enum CodingKeys: String, CodingKey {
      case resamplerDepth = "resampler_depth"
      case resamplerNLatents = "resampler_n_latents"
      case resamplerNHeads = "resampler_n_heads"
      case resamplerHeadDim = "resampler_head_dim"
      case qkLayerNormsPerceiver = "qk_layer_norms_perceiver"
    }
  }

  var modelType: String?
  var hiddenAct: String?
  var tieWordEmbeddings: Bool?
  var hiddenSize: Int?
  var intermediateSize: Int?
  var numHiddenLayers: Int?
  var numAttentionHeads: Int?
  var rmsNormEps: Double?
  var vocabSize: Int?
  var additionalVocabSize: Int?
  var crossLayerInterval: Int?
  var qkLayerNorms: Bool?
  var maxPositionEmbeddings: Int?
  var maxSequenceLength: Int?
  var bosTokenId: Int?
  var eosTokenId: Int?
  var padTokenId: Int?
  var useResampler: Bool?
  var visionConfig: Vision?
  var perceiverConfig: Perceiver?
  // Flat names of early revisions.
  var visionEmbedDim: Int?
  var visionImageSize: Int?
  var visionPatchSize: Int?
  var visionIntermediateSize: Int?
  var visionNumHiddenLayers: Int?
  var visionNumAttentionHeads: Int?
  var resamplerDepth: Int?
  var resamplerNLatents: Int?
  var resamplerNHeads: Int?
  var resamplerHeadDim: Int?
  var qkLayerNormsPerceiver: Bool?

  enum CodingKeys: String, CodingKey {
    case modelType = "model_type"
    case hiddenAct = "hidden_act"
    case tieWordEmbeddings = "tie_word_embeddings"
    case hiddenSize = "hidden_size"
    case intermediateSize = "intermediate_size"
    case numHiddenLayers = "num_hidden_layers"
    case numAttentionHeads = "num_attention_heads"
    case rmsNormEps = "rms_norm_eps"
    case vocabSize = "vocab_size"
    case additionalVocabSize = "additional_vocab_size"
    case crossLayerInterval = "cross_layer_interval"
    case qkLayerNorms = "qk_layer_norms"
    case maxPositionEmbeddings = "max_position_embeddings"
    case maxSequenceLength = "max_sequence_length"
    case bosTokenId = "bos_token_id"
    case eosTokenId = "eos_token_id"
    case padTokenId = "pad_token_id"
    case useResampler = "use_resampler"
    case visionConfig = "vision_config"
    case perceiverConfig = "perceiver_config"
    case visionEmbedDim = "vision_embed_dim"
    case visionImageSize = "vision_image_size"
    case visionPatchSize = "vision_patch_size"
    case visionIntermediateSize = "vision_intermediate_size"
    case visionNumHiddenLayers = "vision_num_hidden_layers"
    case visionNumAttentionHeads = "vision_num_attention_heads"
    case resamplerDepth = "resampler_depth"
    case resamplerNLatents = "resampler_n_latents"
    case resamplerNHeads = "resampler_n_heads"
    case resamplerHeadDim = "resampler_head_dim"
    case qkLayerNormsPerceiver = "qk_layer_norms_perceiver"
  }
}
