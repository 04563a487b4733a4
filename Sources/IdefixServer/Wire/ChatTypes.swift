// Requests and replies of `/v1/chat/completions`. Fields that this model has no use for are accepted and
// ignored where ignoring them cannot change an answer, and refused otherwise.

import Idefix

/// The body of `/v1/chat/completions` and `/chat_tokenize`.
struct ChatRequest: Decodable, Sendable {
  var messages: [Message]
  var maxTokens: Int?
  var maxCompletionTokens: Int?
  var temperature: Double?
  var topP: Double?
  var seed: UInt64?
  var stop: OneOrMany<String>?
  var stream: Bool?
  var streamOptions: StreamOptions?
  var frequencyPenalty: Double?
  var presencePenalty: Double?
  var logprobs: Bool?
  var topLogprobs: Int?
  var tools: [JSONValue]?
  var toolChoice: JSONValue?
  var responseFormat: ResponseFormat?
  var n: Int?
  var logitBias: [String: Located<Double>]?

  enum CodingKeys: String, CodingKey {
    case messages
    case maxTokens = "max_tokens"
    case maxCompletionTokens = "max_completion_tokens"
    case temperature
    case topP = "top_p"
    case seed, stop, stream
    case streamOptions = "stream_options"
    case frequencyPenalty = "frequency_penalty"
    case presencePenalty = "presence_penalty"
    case logprobs
    case topLogprobs = "top_logprobs"
    case tools
    case toolChoice = "tool_choice"
    case responseFormat = "response_format"
    case n
    case logitBias = "logit_bias"
  }

  /// One message.
  struct Message: Decodable, Sendable {
    var role: String
    var content: Content?

    /// A text or parts.
    enum Content: Decodable, Sendable {
      case text(String)
      case parts([Part])

      init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let text = try? container.decode(String.self) {
          self = .text(text)
        } else {
          self = .parts(try container.decode([Part].self))
        }
      }
    }
  }

  /// A text or an image.
  struct Part: Decodable, Sendable {
    var type: String
    var text: String?
    var imageURL: ImageReference?

    enum CodingKeys: String, CodingKey {
      case type, text
      case imageURL = "image_url"
    }
  }

  /// `{"url": …}`; `detail` is ignored: there is one resolution.
  struct ImageReference: Decodable, Sendable {
    var url: String
  }
}

/// The reply of `/v1/chat/completions`.
struct ChatReply: Encodable, Sendable {
  var object = "chat.completion"
  var id: String
  var created: Int
  var model: String
  var systemFingerprint: String
  var choices: [Choice]
  var usage: Usage

  enum CodingKeys: String, CodingKey {
    case object, id, created, model
    case systemFingerprint = "system_fingerprint"
    case choices, usage
  }

  /// One answer.
  struct Choice: Encodable, Sendable {
    var index: Int
    var message: AnswerMessage
    @Nullable var logprobs: ChatLogprobs?
    var finishReason: String

    enum CodingKeys: String, CodingKey {
      case index, message, logprobs
      case finishReason = "finish_reason"
    }
  }
}

/// What the assistant says.
struct AnswerMessage: Encodable, Sendable {
  var role = "assistant"
  var content: String
}

/// One event of a streamed chat.
struct ChatChunk: Encodable, Sendable {
  var object = "chat.completion.chunk"
  var id: String
  var created: Int
  var model: String
  var systemFingerprint: String
  var choices: [Choice]
  @Nullable var usage: Usage?
  /// Times of the whole request; only in the last event, with its usage.
  var timings: Timings?

  enum CodingKeys: String, CodingKey {
    case object, id, created, model
    case systemFingerprint = "system_fingerprint"
    case choices, usage, timings
  }

  /// What one answer gains.
  struct Choice: Encodable, Sendable {
    var index: Int
    var delta: Delta
    @Nullable var logprobs: ChatLogprobs?
    @Nullable var finishReason: String?

    enum CodingKeys: String, CodingKey {
      case index, delta, logprobs
      case finishReason = "finish_reason"
    }
  }

  /// A piece of what the assistant says.
  ///
  /// `tool_calls` is there for clients that look for the key.
  struct Delta: Encodable, Sendable {
    var role = "assistant"
    var content: String
    @Nullable var toolCalls: String?

    enum CodingKeys: String, CodingKey {
      case role, content
      case toolCalls = "tool_calls"
    }

    init(_ content: String) { self.content = content }
  }
}

/// Log-probabilities of a chat answer's tokens.
struct ChatLogprobs: Encodable, Sendable {
  var content: [Token]

  /// A token and its alternatives.
  struct Token: Encodable, Sendable {
    var token: String
    var logprob: Float
    var bytes: [UInt8]
    var topLogprobs: [Alternative]

    enum CodingKeys: String, CodingKey {
      case token, logprob, bytes
      case topLogprobs = "top_logprobs"
    }

    init(_ token: TokenEvent) {
      self.token = token.piece
      logprob = finite(token.logprob)
      bytes = Array(token.piece.utf8)
      topLogprobs = token.top.map(Alternative.init)
    }
  }

  /// A token that could have come.
  struct Alternative: Encodable, Sendable {
    var token: String
    var logprob: Float
    var bytes: [UInt8]

    init(_ token: TokenLogprob) {
      self.token = token.text
      logprob = finite(token.logprob)
      bytes = Array(token.text.utf8)
    }
  }
}
