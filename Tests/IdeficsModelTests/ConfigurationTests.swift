import Foundation
import IdeficsModel
import TestSupport
import Testing

/// config.json in its published forms, and in forms that must be refused.
@Suite struct ConfigurationTests {
  private func parse(_ json: String) throws(ConfigurationError) -> Configuration {
    try Configuration(json: Array(json.utf8))
  }

  @Test func publishedNestedForm() throws {
    let c = try parse(
      """
      {"model_type": "idefics", "hidden_size": 8192, "intermediate_size": 22016,
       "num_hidden_layers": 80, "num_attention_heads": 64, "rms_norm_eps": 1e-05,
       "vocab_size": 32000, "additional_vocab_size": 3, "cross_layer_interval": 4,
       "qk_layer_norms": true, "use_resampler": true, "max_sequence_length": 2048,
       "hidden_act": "silu", "tie_word_embeddings": false,
       "vision_config": {"embed_dim": 1280, "image_size": 224, "patch_size": 14,
         "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16,
         "hidden_act": "gelu"},
       "perceiver_config": {"resampler_depth": 6, "resampler_n_latents": 64,
         "resampler_n_heads": 16, "resampler_head_dim": 96, "qk_layer_norms_perceiver": true}}
      """
    )
    #expect(c.headDim == 128)
    #expect(c.crossBlocks == 20)
    #expect(c.maxPositions == 2048)
    #expect(c.rmsNormEpsilon == 1e-5)
    #expect(c.vision.tokens == 257)
    #expect(c.perceiver?.innerWidth == 1536)
    #expect(c.imageStates == 64)
    // 1603 parameter tensors, as computed for the published 80b checkpoints.
    #expect(WeightNames.inventory(of: c).count == 1603)
    let parameters = WeightNames.inventory(of: c).reduce(0) { $0 + $1.shapes[0].reduce(1, *) }
    #expect(parameters == 79_967_860_008)
  }

  @Test func earlyFlatForm() throws {
    let c = try parse(
      """
      {"architectures": ["IdeficsForCausalLM"], "hidden_size": 4096, "use_resampler": true,
       "additional_vocab_size": 2, "cross_layer_interval": 4, "qk_layer_norms": true,
       "vision_embed_dim": 1280, "vision_image_size": 224, "vision_intermediate_size": 5120,
       "vision_patch_size": 14, "resampler_depth": 6, "resampler_n_latents": 64,
       "resampler_n_heads": 16, "resampler_head_dim": 96, "qk_layer_norms_perceiver": true}
      """
    )
    #expect(c.vision.width == 1280)
    #expect(c.vision.layers == 32)
    #expect(c.perceiver?.normalizesQueriesAndKeys == true)
    #expect(WeightNames.inventory(of: c).count == 1015)
    let parameters = WeightNames.inventory(of: c).reduce(0) { $0 + $1.shapes[0].reduce(1, *) }
    #expect(parameters == 8_929_679_632)
  }

  @Test func missingFieldsTakeTheDefaultsOfTheReferenceClasses() throws {
    let c = try parse(
      """
      {"vision_config": {}, "use_resampler": true,
       "perceiver_config": {"qk_layer_norms_perceiver": true}, "cross_layer_interval": 4}
      """
    )
    #expect(c.vision.width == 768)
    #expect(c.vision.activation == .gelu)
    #expect(c.vision.layerNormEpsilon == 1e-5)
    #expect(c.additionalVocabularySize == 0)
    #expect(c.maxPositions == 2048)
    #expect(c.perceiver?.depth == 6)
    #expect(c.perceiver?.latents == 64)
    #expect(c.perceiver?.innerWidth == 1536)
    #expect(c.perceiver?.normalizesQueriesAndKeys == true)
    #expect((c.bosToken, c.eosToken, c.padToken) == (1, 2, 0))
  }

  @Test(arguments: [
    ("", "not valid JSON"),
    ("[]", "the top level"),
    ("{\"hidden_size\": \"big\"}", "hidden_size"),
    ("{\"hidden_size\": 1e400}", "JSON"),
    ("{\"hidden_size\": 1.5}", "JSON"),
    ("{\"hidden_size\": -1}", "hidden_size"),
    ("{\"hidden_size\": 9223372036854775807}", "hidden_size"),
    ("{\"num_hidden_layers\": 0}", "num_hidden_layers"),
    ("{\"hidden_size\": 100, \"num_attention_heads\": 3}", "num_attention_heads"),
    ("{\"num_hidden_layers\": 6, \"cross_layer_interval\": 4}", "cross_layer_interval"),
    ("{\"model_type\": \"llama\"}", "model_type"),
    ("{\"hidden_act\": \"relu\"}", "hidden_act"),
    ("{\"vision_config\": {\"hidden_act\": \"tanh\"}}", "vision_config.hidden_act"),
    ("{\"vision_config\": {\"patch_size\": 225}}", "patch_size"),
    ("{\"vision_config\": {\"patch_size\": 0}}", "patch_size"),
    ("{\"vision_config\": {\"image_size\": 4096, \"patch_size\": 1}}", "image_size"),
    ("{\"max_position_embeddings\": 1048577}", "max_position_embeddings"),
    ("{\"rms_norm_eps\": -1}", "rms_norm_eps"),
    ("{\"additional_vocab_size\": -1}", "additional_vocab_size"),
    ("{\"tie_word_embeddings\": true}", "tie_word_embeddings"),
  ])
  func refusalsNameTheField(json: String, field: String) {
    let error = #expect(throws: ConfigurationError.self) { _ = try parse(json) }
    #expect(error?.description.contains(field) == true, "\(String(describing: error))")
  }
}
