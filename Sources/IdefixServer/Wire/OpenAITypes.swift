// What the OpenAI-style routes share: options, constraints, token counts, times, models and stream errors.

import Idefix

/// `stream_options`.
struct StreamOptions: Decodable, Sendable {
  var includeUsage: Bool?

  enum CodingKeys: String, CodingKey { case includeUsage = "include_usage" }
}

/// `response_format`: a constraint, or `text` for none.
struct ResponseFormat: Decodable, Sendable {
  var type: String
  var value: JSONValue?
  var jsonSchema: JSONValue?

  enum CodingKeys: String, CodingKey {
    case type, value
    case jsonSchema = "json_schema"
  }

  /// The constraint it stands for; `nil` for free text.
  var constraint: Constraint? {
    get throws(ServerError) {
      if type == "text" { return nil }
      if type == "json_object", value == nil { return .jsonSchema(#"{"type":"object"}"#) }
      guard let value = jsonSchema ?? value else {
        throw .grammar("grammar is not valid: `response_format` has no schema")
      }
      let kind = type == "json_object" ? "json" : type
      // A bare schema under `json_schema.value` is text-generation-inference's older form.
      if kind == "json_schema", case .object(let fields) = value, fields["schema"] == nil {
        return try Grammar(type: "json", value: value).constraint
      }
      return try Grammar(type: kind, value: value).constraint
    }
  }
}

/// A value or a list of values.
struct OneOrMany<Value: Decodable & Sendable>: Decodable, Sendable {
  var values: [Value]

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let value = try? container.decode(Value.self) {
      values = [value]
    } else {
      values = try container.decode([Value].self)
    }
  }
}

/// Token counts of a request.
struct Usage: Encodable, Sendable {
  var promptTokens: Int
  var completionTokens: Int
  var totalTokens: Int

  enum CodingKeys: String, CodingKey {
    case promptTokens = "prompt_tokens"
    case completionTokens = "completion_tokens"
    case totalTokens = "total_tokens"
  }

  init(prompt: Int, completion: Int) {
    promptTokens = prompt
    completionTokens = completion
    totalTokens = prompt + completion
  }

  init(_ result: GenerationResult) {
    self.init(
      prompt: result.prompt.tokens.count,
      completion: result.sequences.reduce(0) { $0 + $1.tokens.count }
    )
  }
}

/// Where a request's time went, in milliseconds; an extension that the web page shows.
struct Timings: Encodable, Sendable {
  var queue: Double
  var vision: Double
  var prefill: Double
  var decode: Double
  var promptTokens: Int
  var cachedTokens: Int
  var cachedImages: Int
  var tokensPerSecond: Double

  enum CodingKeys: String, CodingKey {
    case queue = "queue_ms"
    case vision = "vision_ms"
    case prefill = "prefill_ms"
    case decode = "decode_ms"
    case promptTokens = "prompt_tokens"
    case cachedTokens = "cached_tokens"
    case cachedImages = "cached_images"
    case tokensPerSecond = "tokens_per_second"
  }

  init(_ result: GenerationResult) {
    let receipt = result.receipt
    queue = receipt.queue.milliseconds
    vision = receipt.decodeImages.milliseconds + receipt.encodeImagesMilliseconds
    prefill = receipt.prefill.milliseconds
    decode = receipt.decode.milliseconds
    promptTokens = result.prompt.tokens.count
    cachedTokens = receipt.cachedTokens
    cachedImages = receipt.cachedImages
    tokensPerSecond = receipt.decodeTokensPerSecond
  }
}

/// The reply of `/v1/models`.
struct ModelList: Encodable, Sendable {
  var object = "list"
  var data: [Model]

  /// A model.
  struct Model: Encodable, Sendable {
    var id: String
    var object = "model"
    var created = 0
    var ownedBy: String

    enum CodingKeys: String, CodingKey {
      case id, object, created
      case ownedBy = "owned_by"
    }
  }
}

/// How the OpenAI-style streams tell an error.
struct OpenAIStreamError: Encodable, Sendable {
  var error: Body

  /// The error.
  struct Body: Encodable, Sendable {
    var message: String
    var httpStatusCode: Int

    enum CodingKeys: String, CodingKey {
      case message
      case httpStatusCode = "http_status_code"
    }
  }

  init(_ failure: ServerError) {
    error = Body(message: failure.message, httpStatusCode: failure.status.code)
  }
}

/// Checks and conversions that chat and completions share.
enum OpenAISampling {
  /// Most alternatives a token may be reported with.
  static let maximumTopLogprobs = SamplingOptions.maximumLogprobs

  /// The sampling that OpenAI's parameters stand for: it draws unless the temperature is 0.
  static func options(
    maxTokens: Int?,
    temperature: Double?,
    topP: Double?,
    seed: UInt64?,
    stop: [String],
    frequencyPenalty: Double?,
    presencePenalty: Double?,
    logitBias: [String: Located<Double>]?,
    limits: ServerOptions
  ) throws(ServerError) -> SamplingOptions {
    guard stop.count <= limits.maxStopSequences else {
      throw .validation(
        "`stop` supports up to \(limits.maxStopSequences) stop sequences. Given: \(stop.count)"
      )
    }
    var sampling = SamplingOptions()
    sampling.maxTokens = maxTokens
    sampling.temperature = temperature ?? 1
    sampling.topP = topP
    sampling.seed = seed
    sampling.stop = stop
    sampling.frequencyPenalty = frequencyPenalty ?? 0
    sampling.presencePenalty = presencePenalty ?? 0
    sampling.logprobBasis = .model
    for (key, value) in logitBias ?? [:] {
      guard let id = Int32(key) else {
        throw .validation("`logit_bias` needs token ids as keys")
      }
      sampling.logitBias[id] = value.value
    }
    return sampling
  }

  /// Refuses a number of answers beyond the server's limit.
  static func checkCount(_ count: Int, limits: ServerOptions) throws(ServerError) {
    guard (1...limits.maxAnswers).contains(count) else {
      throw .validation("`n` must be > 0 and <= \(limits.maxAnswers). Given: \(count)")
    }
  }
}
