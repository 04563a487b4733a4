// One request of a batch file: a prompt, and sampling options that differ from those of the whole batch.

import Foundation
import Idefix

/// A row of a batch file.
public struct BatchRow: Sendable {
  /// Identifier: the row's, else its line number.
  public var id: String
  /// What is asked.
  public var request: GenerationRequest

  /// Reads a row: `{"id"?, "prompt": […]` or `"messages": […]`, and sampling options under the names of
  /// the command line with underscores`}`.
  ///
  /// `prefix` is put before the row's prompt and must be of the same kind, messages or parts; `image`
  /// loads what an image reference names.
  public init(
    json: [UInt8],
    line: Int,
    path: String,
    sampling: SamplingOptions,
    prefix: Prompt?,
    image: (String) async throws -> ImageInput
  ) async throws {
    let fields = try JSONRow.decode(Fields.self, Data(json), path: path, line: line)
    id = fields.id?.text ?? String(line)
    var prompt = try await PromptJSON.prompt(from: json, image: image)
    switch (prefix?.content, prompt.content) {
    case (nil, _): break
    case (.interleaved(let before), .interleaved(let parts)):
      prompt.content = .interleaved(Self.joined(before, parts))
    case (.chat(let before), .chat(let messages)): prompt.content = .chat(before + messages)
    default:
      throw EvaluationError.invalidData(
        path: path,
        line: line,
        reason: "the prefix and the row must both have a prompt or both have messages"
      )
    }
    request = GenerationRequest(prompt: prompt, sampling: fields.applied(to: sampling))
  }

  /// Adjacent texts become one, as written: the processor would strip the spaces between them.
  private static func joined(_ before: [PromptPart], _ after: [PromptPart]) -> [PromptPart] {
    if case .text(let left)? = before.last, case .text(let right)? = after.first {
      return before.dropLast() + [.text(left + right)] + after.dropFirst()
    }
    return before + after
  }

  private struct Fields: Decodable {
    var id: FlexibleID?
    var maxTokens: Int?
    var temperature: Double?
    var topK: Int?
    var topP: Double?
    var minP: Double?
    var typicalP: Double?
    var repetitionPenalty: Double?
    var frequencyPenalty: Double?
    var presencePenalty: Double?
    var stop: [String]?
    var seed: UInt64?
    var ignoresEOS: Bool?
    var logprobs: Int?

    private enum CodingKeys: String, CodingKey {
      case id, temperature, stop, seed, logprobs
      case maxTokens = "max_tokens"
      case topK = "top_k"
      case topP = "top_p"
      case minP = "min_p"
      case typicalP = "typical_p"
      case repetitionPenalty = "repetition_penalty"
      case frequencyPenalty = "frequency_penalty"
      case presencePenalty = "presence_penalty"
      case ignoresEOS = "ignore_eos"
    }

    func applied(to base: SamplingOptions) -> SamplingOptions {
      var options = base
      options.maxTokens = maxTokens ?? base.maxTokens
      options.temperature = temperature ?? base.temperature
      options.topK = topK ?? base.topK
      options.topP = topP ?? base.topP
      options.minP = minP ?? base.minP
      options.typicalP = typicalP ?? base.typicalP
      options.repetitionPenalty = repetitionPenalty ?? base.repetitionPenalty
      options.frequencyPenalty = frequencyPenalty ?? base.frequencyPenalty
      options.presencePenalty = presencePenalty ?? base.presencePenalty
      options.stop = stop ?? base.stop
      options.seed = seed ?? base.seed
      options.ignoresEOS = ignoresEOS ?? base.ignoresEOS
      options.logprobs = logprobs ?? base.logprobs
      return options
    }
  }
}

/// The answer to a row, or why there is none.
public struct BatchAnswer: Codable, Sendable, Equatable {
  /// The row's identifier.
  public var id: String
  /// The answer's text.
  public var text: String?
  /// Why it ended.
  public var finishReason: String?
  /// Tokens of the prompt.
  public var promptTokens: Int?
  /// Prompt tokens whose state was found in the prefix cache.
  public var cachedTokens: Int?
  /// Tokens of the answer.
  public var completionTokens: Int?
  /// Images of the prompt.
  public var images: Int?
  /// Each token with its log-probability, if asked for.
  public var logprobs: [TokenReport]?
  /// Why there is no answer.
  public var error: String?

  /// An answer.
  init(id: String, result: GenerationResult, reportsLogprobs: Bool) {
    self.id = id
    let answer = result.sequences.first
    text = answer?.text
    finishReason = answer?.finishReason.rawValue
    promptTokens = result.prompt.tokens.count
    cachedTokens = result.prompt.cachedTokens
    completionTokens = answer?.tokens.count
    images = result.prompt.images
    if reportsLogprobs {
      logprobs = answer?.tokens.map { TokenReport($0) }
    }
  }

  /// A failure.
  init(id: String, error: String) {
    self.id = id
    self.error = error
  }

  private enum CodingKeys: String, CodingKey {
    case id, text, images, logprobs, error
    case finishReason = "finish_reason"
    case promptTokens = "prompt_tokens"
    case cachedTokens = "cached_tokens"
    case completionTokens = "completion_tokens"
  }
}
