// The parts of a model's weights in the order in which its two passes read them. Residency is decided
// and weights are acquired by section: the matrices between two points at which a pass can wait.

import WeightFiles

/// Matrices that are read together.
public enum WeightSection: Sendable, Hashable {
  /// Patch embedding of the vision tower.
  case patchEmbedding
  /// One layer of the vision tower.
  case visionLayer(Int)
  /// One block of the resampler.
  case resamplerBlock(Int)
  /// Key and value projections of one cross block.
  case imageKeyValue(Int)
  /// Token embeddings: only the rows of a step's tokens are read.
  case embedding
  /// The rest of one cross block.
  case crossBlock(Int)
  /// One decoder layer.
  case decoderLayer(Int)
  /// Output head.
  case head

  /// The section of a parameter, or `nil`: small ones are always in memory.
  init?(_ weight: WeightSpecification) {
    // The first number of a name is that of the layer or block.
    let index = weight.name.split(separator: ".").lazy.compactMap { Int($0) }.first ?? 0
    switch weight.role {
    case .visionPatch: self = .patchEmbedding
    case .visionAttention, .visionMLP: self = .visionLayer(index)
    case .perceiverAttention, .perceiverMLP: self = .resamplerBlock(index)
    case .crossImage: self = .imageKeyValue(index)
    case .embedding, .additionalEmbedding: self = .embedding
    case .crossAttention, .crossMLP: self = .crossBlock(index)
    case .decoderAttention, .decoderMLP: self = .decoderLayer(index)
    case .head, .additionalHead: self = .head
    case .small: return nil
    }
  }

  /// Whether the section is read once for every image, rather than in every pass over text.
  public var isOfImages: Bool {
    switch self {
    case .patchEmbedding, .visionLayer, .resamplerBlock, .imageKeyValue: true
    case .embedding, .crossBlock, .decoderLayer, .head: false
    }
  }

  /// Whether most passes read nothing of the section, or only a few of its rows.
  var isMostlyIdle: Bool { isOfImages || self == .embedding }

  /// Every section of a model with its matrices: first those of the pass over an image, then those of
  /// the pass over text, each in order of use.
  static func all(
    of configuration: Configuration
  ) -> [(section: WeightSection, matrices: [WeightSpecification])] {
    var order: [WeightSection] = []
    var matrices: [WeightSection: [WeightSpecification]] = [:]
    for weight in WeightNames.inventory(of: configuration) {
      guard let section = WeightSection(weight) else { continue }
      if matrices[section] == nil { order.append(section) }
      matrices[section, default: []].append(weight)
    }
    let sorted = order.filter(\.isOfImages) + order.filter { !$0.isOfImages }
    return sorted.map { ($0, matrices[$0] ?? []) }
  }
}
