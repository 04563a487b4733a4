// Weights of a published shape without its checkpoint: random codes in the recipe's encodings, so that
// speed and memory can be measured on a machine that has no weights. Answers mean nothing.

import Conversion
import IdeficsModel
import Tensors
import WeightFiles

/// A shape that `--shape` names.
enum PublishedShape: String, CaseIterable {
  case idefics9b = "9b"
  case idefics80b = "80b"
  /// The text stack of LLaMA-7B alone, for comparison with programs that run only that.
  case llama7b = "llama-7b"

  /// Whether the shape has images.
  var hasImages: Bool { self != .llama7b }

  /// Its configuration, with `layers` decoder layers in place of its own.
  func configuration(layers: Int?) throws -> Configuration {
    switch self {
    case .idefics9b: try Self.idefics(4096, 11008, heads: 32, layers: layers ?? 32, "1e-6")
    case .idefics80b: try Self.idefics(8192, 22016, heads: 64, layers: layers ?? 80, "1e-5")
    case .llama7b: try Self.llama(4096, 11008, heads: 32, layers: layers ?? 32)
    }
  }

  /// A decoder without cross-attention; the vision tower, which no pass uses, is as small as can be.
  private static func llama(
    _ hidden: Int,
    _ inner: Int,
    heads: Int,
    layers: Int
  ) throws -> Configuration {
    var configuration = try Configuration(
      json: Array(
        """
        {"hidden_size": \(hidden), "intermediate_size": \(inner), "num_attention_heads": \(heads),
         "num_hidden_layers": \(layers), "cross_layer_interval": \(layers), "vocab_size": 32000,
         "max_position_embeddings": 2048,
         "vision_config": {"embed_dim": 16, "image_size": 14, "patch_size": 14,
           "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1}}
        """.utf8
      )
    )
    // No config.json can say this.
    configuration.crossLayerInterval = layers + 1
    return configuration
  }

  private static func idefics(
    _ hidden: Int,
    _ inner: Int,
    heads: Int,
    layers: Int,
    _ epsilon: String
  ) throws -> Configuration {
    try Configuration(
      json: Array(
        """
        {"hidden_size": \(hidden), "intermediate_size": \(inner), "num_attention_heads": \(heads),
         "num_hidden_layers": \(layers), "rms_norm_eps": \(epsilon), "vocab_size": 32000,
         "additional_vocab_size": 3, "cross_layer_interval": 4, "qk_layer_norms": true,
         "use_resampler": true, "max_position_embeddings": 2048,
         "vision_config": {"embed_dim": 1280, "image_size": 224, "patch_size": 14,
           "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16},
         "perceiver_config": {"resampler_depth": 6, "resampler_n_latents": 64,
           "resampler_n_heads": 16, "resampler_head_dim": 96, "qk_layer_norms_perceiver": true}}
        """.utf8
      )
    )
  }
}

/// Random weights of a configuration.
final class SyntheticSource: WeightSource {
  private let specifications: [String: WeightSpecification]
  private let recipe: QuantizationRecipe
  private let noise: [UInt8]

  init(configuration: Configuration, recipe: QuantizationRecipe) {
    specifications = Dictionary(
      uniqueKeysWithValues: WeightNames.inventory(of: configuration).map { ($0.name, $0) }
    )
    self.recipe = recipe
    var state: UInt64 = 0x9e37_79b9_7f4a_7c15
    noise = (0..<(1 << 20)).map { _ in
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return UInt8(truncatingIfNeeded: state >> 56)
    }
  }

  func packed(_ name: String) throws(WeightFileError) -> PackedMatrix {
    guard let specification = specifications[name], let first = specification.shapes[0].first,
      let layout = PackedLayout(
        rows: first,
        columns: specification.shapes[0].dropFirst().reduce(1, *),
        encoding: recipe.encoding(for: specification.role) ?? .f32
      )
    else { throw .noSuchTensor(path: "synthetic", tensor: name) }
    let isQuantized = layout.encoding.isQuantized
    let matrix = PackedMatrix(
      layout: layout,
      codes: ByteSlice(filled(layout.byteCount(.codes), isFloat: !isQuantized)),
      scales: isQuantized ? ByteSlice(filled(layout.byteCount(.scales), isFloat: false)) : nil,
      rowScales: isQuantized ? ByteSlice(rowScales(layout)) : nil
    )
    guard let matrix else { throw .noSuchTensor(path: "synthetic", tensor: name) }
    return matrix
  }

  func dense(_ name: String) throws(WeightFileError) -> DenseTensor {
    guard let shape = shape(of: name),
      let tensor = DenseTensor(shape: shape, values: [Float](repeating: 0.5, count: shape.count))
    else { throw .noSuchTensor(path: "synthetic", tensor: name) }
    return tensor
  }

  func contains(_ name: String) -> Bool { specifications[name] != nil }

  func shape(of name: String) -> Shape? { specifications[name].flatMap { Shape($0.shapes[0]) } }

  /// Noise; zeros where random bits could be NaN.
  private func filled(_ count: Int, isFloat: Bool) -> ByteRegion {
    var buffer = AlignedBuffer<UInt8>(count: count)
    guard !isFloat else { return buffer.freeze() }
    buffer.withMutableElements { elements in
      for start in stride(from: 0, to: count, by: noise.count) {
        let chunk = min(noise.count, count - start)
        _ = UnsafeMutableBufferPointer(rebasing: elements[start..<(start + chunk)])
          .update(fromContentsOf: noise[..<chunk])
      }
    }
    return buffer.freeze()
  }

  private func rowScales(_ layout: PackedLayout) -> ByteRegion {
    var buffer = AlignedBuffer<Float>(count: layout.byteCount(.rowScales) / 4)
    // Codes and scales have magnitudes of about 64 each: this keeps activations of order one.
    let scale = 1 / (64 * 64 * Float(layout.columns).squareRoot())
    buffer.withMutableElements { $0.update(repeating: scale) }
    return buffer.freeze()
  }
}
