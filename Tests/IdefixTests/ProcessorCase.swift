import Foundation
import Idefix
import TestSupport

/// One golden case: a prompt (or a batch), what the processor made of it, what the model answered.
struct ProcessorCase: Decodable {
  struct Item: Decodable {
    var text: String?
    var image: String?
  }

  struct Options: Decodable {
    var addsEOS: Bool?
    var addsEndOfUtterance: Bool?

    private enum CodingKeys: String, CodingKey {
      case addsEOS = "add_eos_token"
      case addsEndOfUtterance = "add_end_of_utterance_token"
    }
  }

  struct Generation: Decodable {
    var maxTokens: Int
    var eosTokens: [Int32]
    var generatedIds: [[Int32]]

    private enum CodingKeys: String, CodingKey {
      case maxTokens = "max_new_tokens"
      case eosTokens = "eos_token_id"
      case generatedIds = "generated_ids"
    }
  }

  static let names = [
    "text_only", "one_image", "text_before_image", "two_consecutive_images",
    "three_images_few_shot", "eos_in_prompt", "batch_left_padding", "add_eos_token",
    "chat_manual_eou", "chat_auto_eou", "chat_space_before_newline",
  ]

  var prompts: [[Item]]
  var options: Options
  var inputIds: [[Int32]]
  var attentionMask: [[Int]]
  var attendedImage: [[Int]]
  var generation: Generation
  var earlyStop: Generation

  private enum CodingKeys: String, CodingKey {
    case prompts, generation
    case options = "processor_options"
    case inputIds = "input_ids"
    case attentionMask = "attention_mask"
    case attendedImage = "attended_image"
    case earlyStop = "generation_early_stop"
  }

  init(named name: String) throws {
    let bytes = try Fixture.bytes("cases/micro/\(name).json")
    self = try JSONDecoder().decode(ProcessorCase.self, from: Data(bytes))
  }

  /// A row as a prompt.
  func prompt(_ items: [Item], image: (String) throws -> ImageInput) rethrows -> Prompt {
    var prompt = Prompt.interleaved(
      try items.map { item in
        if let name = item.image { return .image(try image(name)) }
        return .text(item.text ?? "")
      }
    )
    prompt.parsesSpecialTokens = true
    prompt.insertsEndOfUtterance = options.addsEndOfUtterance
    prompt.appendsEOS = options.addsEOS ?? false
    return prompt
  }
}
