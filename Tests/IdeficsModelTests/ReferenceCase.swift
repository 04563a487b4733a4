// One case of the reference implementation: prompt, masks, every layer's output, logits, generation.

import Foundation
import Tensors
import TestSupport
import WeightFiles

/// Values recorded from transformers for one prompt (or one padded batch of prompts).
struct ReferenceCase {
  struct Generation: Decodable {
    let generatedIds: [[Int]]
    let eosTokenId: [Int]
    let minTop1Top2Margin: [Double]?

    enum CodingKeys: String, CodingKey {
      case generatedIds = "generated_ids"
      case eosTokenId = "eos_token_id"
      case minTop1Top2Margin = "min_top1_top2_margin"
    }
  }

  private struct Description: Decodable {
    struct Item: Decodable {
      let text: String?
      let image: String?
    }

    let prompts: [[Item]]
    let inputIds: [[Int]]
    let attentionMask: [[Int]]
    let attendedImage: [[Int]]
    let generation: Generation
    let generationEarlyStop: Generation

    enum CodingKeys: String, CodingKey {
      case prompts
      case inputIds = "input_ids"
      case attentionMask = "attention_mask"
      case attendedImage = "attended_image"
      case generation
      case generationEarlyStop = "generation_early_stop"
    }
  }

  /// One row of the batch without its padding.
  struct Row {
    let index: Int
    let tokens: [Int32]
    let attendedImage: [Int]
    let images: [String]
    /// Columns of the padded batch that the tokens stand in.
    let columns: Range<Int>
  }

  let name: String
  let rows: [Row]
  let generation: Generation
  let earlyStop: Generation
  private let tensors: Safetensors

  init(model: String, name: String, folder: URL) throws {
    self.name = name
    let path = folder.appending(path: "cases/\(model)/\(name)")
    let json = try Data(contentsOf: path.appendingPathExtension("json"))
    let description = try JSONDecoder().decode(Description.self, from: json)
    tensors = try Safetensors(path: path.appendingPathExtension("safetensors").path)
    generation = description.generation
    earlyStop = description.generationEarlyStop
    rows = description.prompts.indices.map { index in
      let mask = description.attentionMask[index]
      let start = mask.firstIndex(of: 1) ?? 0
      return Row(
        index: index,
        tokens: description.inputIds[index][start...].map(Int32.init),
        attendedImage: Array(description.attendedImage[index][start...]),
        images: description.prompts[index].compactMap(\.image),
        columns: start..<mask.count
      )
    }
  }

  /// A recorded tensor `[batch, ...]` of one row, or `nil` when the case has none of that name.
  func values(_ name: String, row: Int) throws -> (shape: [Int], values: [Float])? {
    guard let tensor = tensors.tensors.first(where: { $0.name == name }) else { return nil }
    let all = try tensors.floats(tensor)
    let shape = Array(tensor.shape.dimensions.dropFirst())
    let count = shape.reduce(1, *)
    return (shape, Array(all[(row * count)..<((row + 1) * count)]))
  }
}

extension Safetensors {
  /// A tensor's elements as float32.
  func floats(_ tensor: CheckpointTensor) throws -> [Float] {
    let bytes = try file.bytes(at: tensor.offset, count: tensor.byteCount)
    var values = [Float](repeating: 0, count: tensor.shape.count)
    values.withUnsafeMutableBufferPointer { output in
      bytes.withUnsafeBytes { FloatDecoding.decode($0, as: tensor.dtype, into: output) }
    }
    return values
  }
}
