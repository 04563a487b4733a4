// Requests and replies of `/v1/completions`, token-id prompts and echoed log-probabilities included.

import Idefix

/// The body of `/v1/completions`.
struct CompletionRequest: Decodable, Sendable {
  var prompt: CompletionPrompt
  var maxTokens: Int?
  var temperature: Double?
  var topP: Double?
  var seed: UInt64?
  var stop: OneOrMany<String>?
  var stream: Bool?
  var streamOptions: StreamOptions?
  var repetitionPenalty: Double?
  var frequencyPenalty: Double?
  var presencePenalty: Double?
  var suffix: String?
  var echo: Bool?
  var logprobs: Int?
  var n: Int?
  var logitBias: [String: Located<Double>]?

  enum CodingKeys: String, CodingKey {
    case prompt
    case maxTokens = "max_tokens"
    case temperature
    case topP = "top_p"
    case seed, stop, stream
    case streamOptions = "stream_options"
    case repetitionPenalty = "repetition_penalty"
    case frequencyPenalty = "frequency_penalty"
    case presencePenalty = "presence_penalty"
    case suffix, echo, logprobs, n
    case logitBias = "logit_bias"
  }
}

/// One or several prompts, as text or token ids.
struct CompletionPrompt: Decodable, Sendable {
  /// One prompt.
  enum Item: Sendable, Equatable {
    case text(String)
    case tokens([Int32])
  }

  var items: [Item]

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let text = try? container.decode(String.self) {
      items = [.text(text)]
    } else if let texts = try? container.decode([String].self) {
      items = texts.map { .text($0) }
    } else if let tokens = try? container.decode([Int32].self) {
      items = [.tokens(tokens)]
    } else {
      items = try container.decode([[Int32]].self).map { .tokens($0) }
    }
  }
}

/// The reply of `/v1/completions`, and one event of its stream.
struct CompletionReply: Encodable, Sendable {
  var object = "text_completion"
  var id: String
  var created: Int
  var model: String
  var systemFingerprint: String
  var choices: [Choice]
  @Nullable var usage: Usage?

  enum CodingKeys: String, CodingKey {
    case object, id, created, model
    case systemFingerprint = "system_fingerprint"
    case choices, usage
  }

  /// One answer, or what it gains.
  struct Choice: Encodable, Sendable {
    var index: Int
    var text: String
    @Nullable var logprobs: CompletionLogprobs?
    @Nullable var finishReason: String?

    enum CodingKeys: String, CodingKey {
      case index, text, logprobs
      case finishReason = "finish_reason"
    }
  }
}

/// Log-probabilities in the shape of OpenAI's completions: four lists of equal length.
struct CompletionLogprobs: Encodable, Sendable {
  var tokens: [String] = []
  var tokenLogprobs: [Float?] = []
  var topLogprobs: [[String: Float]?] = []
  var textOffset: [Int] = []
  /// Where the next token's text begins, in Unicode scalars.
  private var offset = 0

  enum CodingKeys: String, CodingKey {
    case tokens
    case tokenLogprobs = "token_logprobs"
    case topLogprobs = "top_logprobs"
    case textOffset = "text_offset"
  }

  init() {}

  mutating func append(_ token: ScoredToken) {
    append(text: token.text, logprob: token.logprob, top: token.logprob == nil ? nil : token.top)
  }

  mutating func append(_ token: TokenEvent) {
    append(text: token.piece, logprob: token.logprob, top: token.top)
  }

  private mutating func append(text: String, logprob: Float?, top: [TokenLogprob]?) {
    tokens.append(text)
    tokenLogprobs.append(logprob.map(finite))
    topLogprobs.append(
      top.map { Dictionary($0.map { ($0.text, finite($0.logprob)) }) { first, _ in first } }
    )
    textOffset.append(offset)
    offset += text.unicodeScalars.count
  }
}
