// The conversation and the sampling that a chat request stands for. Text of messages is never searched for
// images or special tokens. Refuses roles and parts that the template has no place for.

import Idefix

extension ChatRequest {
  /// Addresses of all images in order.
  var imageAddresses: [String] {
    messages.flatMap { message -> [String] in
      guard case .parts(let parts) = message.content else { return [] }
      return parts.compactMap { $0.imageURL?.url }
    }
  }

  /// The conversation, with `load` turning addresses into images.
  func prompt(
    escapingRoles: Bool,
    load: (String) async throws -> ImageInput
  ) async throws -> Prompt {
    guard !messages.isEmpty else { throw ServerError.template("there are no messages") }
    var turns: [ChatMessage] = []
    for (index, message) in messages.enumerated() {
      let role = try Self.role(message.role)
      var content: [PromptPart] = []
      switch message.content {
      case .text(let text): content = [.text(text)]
      case .parts(let parts):
        for (place, part) in parts.enumerated() {
          let field = "messages[\(index)].content[\(place)]"
          content.append(try await Self.part(part, field: field, load: load))
        }
      case nil: break
      }
      turns.append(ChatMessage(role: role, content: content))
    }
    var prompt = Prompt.chat(turns)
    prompt.escapesRoles = escapingRoles
    return prompt
  }

  /// The engine's request but for its prompt.
  func request(options: ServerOptions) throws(ServerError) -> GenerationRequest {
    guard tools?.isEmpty ?? true || toolChoice == .string("none") else { throw .toolsUnsupported }
    try OpenAISampling.checkCount(n ?? 1, limits: options)
    var sampling = try OpenAISampling.options(
      maxTokens: maxCompletionTokens ?? maxTokens,
      temperature: temperature,
      topP: topP,
      seed: seed,
      stop: stop?.values ?? [],
      frequencyPenalty: frequencyPenalty,
      presencePenalty: presencePenalty,
      logitBias: logitBias,
      limits: options
    )
    if let topLogprobs {
      guard logprobs == true else {
        throw .validation("`logprobs` must be true when `top_logprobs` is set")
      }
      guard (0...OpenAISampling.maximumTopLogprobs).contains(topLogprobs) else {
        throw .validation(
          "`top_logprobs` must be >= 0 and <= \(OpenAISampling.maximumTopLogprobs). "
            + "Given: \(topLogprobs)"
        )
      }
      sampling.logprobs = topLogprobs
    }
    var request = GenerationRequest(prompt: .chat([]), sampling: sampling)
    request.count = n ?? 1
    request.constraint = try responseFormat?.constraint
    return request
  }

  private static func role(_ name: String) throws(ServerError) -> ChatMessage.Role {
    switch name {
    case "system", "developer": .system
    case "user": .user
    case "assistant": .assistant
    default: throw .template("roles are system, user and assistant")
    }
  }

  private static func part(
    _ part: Part,
    field: String,
    load: (String) async throws -> ImageInput
  ) async throws -> PromptPart {
    switch part.type {
    case "text":
      guard let text = part.text else {
        throw ServerError.shape(field: "\(field).text", expected: "a string")
      }
      return .text(text)
    case "image_url":
      guard let address = part.imageURL?.url else {
        throw ServerError.shape(field: "\(field).image_url", expected: "an object")
      }
      return .image(try await load(address))
    default: throw ServerError.shape(field: "\(field).type", expected: "`text` or `image_url`")
    }
  }
}
