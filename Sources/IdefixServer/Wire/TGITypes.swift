// Requests and replies of text-generation-inference 3.3, field by field. Every optional request field may
// be absent or null. What values mean and which are refused is GenerateParameters+Sampling's concern.

import Idefix

/// The body of `/`, `/generate` and `/generate_stream`.
struct GenerateRequest: Decodable, Sendable {
  var inputs: String
  var parameters: GenerateParameters?
  /// Only `/` looks at it.
  var stream: Bool?
}

/// `parameters` of a generate request.
struct GenerateParameters: Decodable, Sendable {
  var bestOf: Int?
  var temperature: Double?
  var repetitionPenalty: Double?
  var frequencyPenalty: Double?
  var topK: Int?
  var topP: Double?
  var typicalP: Double?
  var doSample: Bool?
  var maxNewTokens: Int?
  var returnFullText: Bool?
  var stop: [String]?
  var truncate: Int?
  var watermark: Bool?
  var details: Bool?
  var decoderInputDetails: Bool?
  var seed: UInt64?
  var topNTokens: Int?
  var grammar: Grammar?
  var adapterID: String?

  enum CodingKeys: String, CodingKey {
    case bestOf = "best_of"
    case temperature
    case repetitionPenalty = "repetition_penalty"
    case frequencyPenalty = "frequency_penalty"
    case topK = "top_k"
    case topP = "top_p"
    case typicalP = "typical_p"
    case doSample = "do_sample"
    case maxNewTokens = "max_new_tokens"
    case returnFullText = "return_full_text"
    case stop, truncate, watermark, details
    case decoderInputDetails = "decoder_input_details"
    case seed
    case topNTokens = "top_n_tokens"
    case grammar
    case adapterID = "adapter_id"
  }

  /// The parameters of a request that has none: sampling, unlike when they are merely empty.
  static var absent: GenerateParameters {
    var parameters = GenerateParameters()
    parameters.doSample = true
    return parameters
  }
}

/// A constraint on the answer: `{"type": "json"|"regex"|"json_schema", "value": …}`.
struct Grammar: Decodable, Sendable {
  var type: String
  var value: JSONValue
}

/// The reply of `/generate`.
struct GenerateReply: Encodable, Sendable {
  var generatedText: String
  var details: Details?

  enum CodingKeys: String, CodingKey {
    case generatedText = "generated_text"
    case details
  }

  /// What `details: true` adds.
  struct Details: Encodable, Sendable {
    var finishReason: String
    var generatedTokens: Int
    @Nullable var seed: UInt64?
    var prefill: [PrefillToken]
    var tokens: [ReplyToken]
    var topTokens: [[ReplyToken]]?
    var bestOfSequences: [Sequence]?

    enum CodingKeys: String, CodingKey {
      case finishReason = "finish_reason"
      case generatedTokens = "generated_tokens"
      case seed, prefill, tokens
      case topTokens = "top_tokens"
      case bestOfSequences = "best_of_sequences"
    }
  }

  /// One of the answers that were not the best.
  struct Sequence: Encodable, Sendable {
    var generatedText: String
    var finishReason: String
    var generatedTokens: Int
    @Nullable var seed: UInt64?
    var prefill: [PrefillToken]
    var tokens: [ReplyToken]
    var topTokens: [[ReplyToken]]?

    enum CodingKeys: String, CodingKey {
      case generatedText = "generated_text"
      case finishReason = "finish_reason"
      case generatedTokens = "generated_tokens"
      case seed, prefill, tokens
      case topTokens = "top_tokens"
    }
  }
}

/// One event of `/generate_stream`.
struct StreamReply: Encodable, Sendable {
  var index: Int
  var token: ReplyToken
  var topTokens: [ReplyToken]?
  @Nullable var generatedText: String?
  @Nullable var details: Details?

  enum CodingKeys: String, CodingKey {
    case index, token
    case topTokens = "top_tokens"
    case generatedText = "generated_text"
    case details
  }

  /// What the last event tells if `details` was true.
  struct Details: Encodable, Sendable {
    var finishReason: String
    var generatedTokens: Int
    @Nullable var seed: UInt64?
    var inputLength: Int

    enum CodingKeys: String, CodingKey {
      case finishReason = "finish_reason"
      case generatedTokens = "generated_tokens"
      case seed
      case inputLength = "input_length"
    }
  }
}

/// A generated token.
struct ReplyToken: Encodable, Sendable {
  var id: Int32
  var text: String
  var logprob: Float
  var special: Bool

  /// A generated token; special tokens are shown by name.
  init(_ token: TokenEvent) {
    id = token.id
    text = token.isSpecial ? token.piece : token.text
    logprob = finite(token.logprob)
    special = token.isSpecial
  }

  /// An alternative to a generated token.
  init(_ token: TokenLogprob) {
    id = token.id
    text = token.text
    logprob = finite(token.logprob)
    special = false
  }
}

/// A token of the prompt; the first has no log-probability.
struct PrefillToken: Encodable, Sendable {
  var id: Int32
  var text: String
  @Nullable var logprob: Float?

  init(_ token: ScoredToken) {
    id = token.id
    text = token.text
    logprob = token.logprob.map(finite)
  }
}

/// JSON has no infinity; a token that cannot occur gets the value OpenAI documents for it.
func finite(_ logprob: Float) -> Float { logprob.isFinite ? logprob : -9999 }

extension FinishReason {
  /// The name text-generation-inference gives it.
  var tgiName: String {
    switch self {
    case .length: "length"
    case .eos: "eos_token"
    case .stop, .cancelled: "stop_sequence"
    }
  }

  /// The name OpenAI gives it.
  var openAIName: String {
    switch self {
    case .length: "length"
    case .eos, .stop, .cancelled: "stop"
    }
  }
}

/// A token of `/tokenize` with its place in the text, in Unicode scalars.
struct SimpleToken: Encodable, Sendable {
  var id: Int32
  var text: String
  var start: Int
  var stop: Int
}

/// The reply of `/chat_tokenize`.
struct ChatTokenizeReply: Encodable, Sendable {
  var tokenizeResponse: [SimpleToken]
  var templatedText: String

  enum CodingKeys: String, CodingKey {
    case tokenizeResponse = "tokenize_response"
    case templatedText = "templated_text"
  }
}

/// The reply of `/info`.
struct ServerInfo: Encodable, Sendable {
  var modelID: String
  var modelSHA: String
  var modelDType: String
  var modelDeviceType = "cpu"
  var modelPipelineTag = "image-text-to-text"
  var maxConcurrentRequests: Int
  var maxBestOf: Int
  var maxStopSequences: Int
  var maxInputTokens: Int
  var maxTotalTokens: Int
  var validationWorkers = 1
  var maxClientBatchSize: Int
  var router = "text-generation-router"
  var version: String
  @Nullable var sha: String?
  @Nullable var dockerLabel: String?

  enum CodingKeys: String, CodingKey {
    case modelID = "model_id"
    case modelSHA = "model_sha"
    case modelDType = "model_dtype"
    case modelDeviceType = "model_device_type"
    case modelPipelineTag = "model_pipeline_tag"
    case maxConcurrentRequests = "max_concurrent_requests"
    case maxBestOf = "max_best_of"
    case maxStopSequences = "max_stop_sequences"
    case maxInputTokens = "max_input_tokens"
    case maxTotalTokens = "max_total_tokens"
    case validationWorkers = "validation_workers"
    case maxClientBatchSize = "max_client_batch_size"
    case router, version, sha
    case dockerLabel = "docker_label"
  }
}
