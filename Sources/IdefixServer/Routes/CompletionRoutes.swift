// `/v1/completions`: text or token ids in, their continuation out, with the prompt echoed and scored when
// that is asked for. Prompt text is plain: no image syntax, no special tokens.

import Hummingbird
import Idefix

/// Completions in OpenAI's dialect.
struct CompletionRoutes: Sendable {
  let inference: Inference

  /// The answers to one prompt.
  private struct Answers: Sendable {
    var choices: [CompletionReply.Choice]
    var usage: Usage
  }

  func add(to router: Router<RequestScope>) {
    router.post("/v1/completions") { request, scope in
      let (body, ticket) = try await inference.receive(CompletionRequest.self, from: request)
      return try await reply(to: body, scope: scope, ticket: ticket)
    }
  }

  /// Answers a decoded request.
  func reply(
    to body: CompletionRequest,
    scope: RequestScope,
    ticket: Admission.Ticket
  ) async throws -> Response {
    let items = body.prompt.items
    try check(body)
    let characters = items.reduce(0) { $0 + $1.characters }
    if body.stream == true {
      return stream(body, characters: characters, scope: scope, ticket: ticket)
    }
    let all = try await scope.connection.whileOpen {
      try await inMembersOrder(items) { index, item in
        try await answers(to: item, at: index, body, scope: scope)
      }
    }
    withExtendedLifetime(ticket) {}
    return try .json(
      reply(scope, choices: all.flatMap(\.choices), usage: Self.total(all.map(\.usage))),
      headers: RequestTiming.streamHeaders(characters: characters)
    )
  }

  private func answers(
    to item: CompletionPrompt.Item,
    at index: Int,
    _ body: CompletionRequest,
    scope: RequestScope
  ) async throws -> Answers {
    guard body.maxTokens != 0 else {
      return try await score(item, at: index, body, scope: scope)
    }
    let request = try body.request(for: item, tenant: scope.tenant, options: inference.options)
    let prompt = Latest<[ScoredToken]>()
    let (result, _) = try await inference.run(request, scope: scope) { event in
      if case .promptScored(let tokens) = event { prompt.set(tokens) }
    }
    let lead = body.echo == true ? try text(of: item) : ""
    let choices = result.sequences.map { answer in
      var logprobs: CompletionLogprobs?
      if body.logprobs != nil {
        var list = CompletionLogprobs()
        if body.echo == true { prompt.value?.forEach { list.append($0) } }
        answer.tokens.forEach { list.append($0) }
        logprobs = list
      }
      return CompletionReply.Choice(
        index: index * request.count + answer.index,
        text: lead + answer.text,
        logprobs: logprobs,
        finishReason: answer.finishReason.openAIName
      )
    }
    return Answers(choices: choices, usage: Usage(result))
  }

  /// An echo without an answer: only the prompt is scored.
  private func score(
    _ item: CompletionPrompt.Item,
    at index: Int,
    _ body: CompletionRequest,
    scope: RequestScope
  ) async throws -> Answers {
    var request = ScoreRequest(prompt: item.prompt, top: body.logprobs ?? 0)
    request.tenant = scope.tenant
    let tokens = try await inference.score(request)
    var logprobs = CompletionLogprobs()
    tokens.forEach { logprobs.append($0) }
    let choice = CompletionReply.Choice(
      index: index,
      text: try text(of: item),
      logprobs: body.logprobs == nil ? nil : logprobs,
      finishReason: "length"
    )
    return Answers(choices: [choice], usage: Usage(prompt: tokens.count, completion: 0))
  }

  private func stream(
    _ body: CompletionRequest,
    characters: Int,
    scope: RequestScope,
    ticket: Admission.Ticket
  ) -> Response {
    EventStream.response(
      headers: RequestTiming.streamHeaders(characters: characters),
      keepAlive: inference.options.keepAliveInterval,
      connection: scope.connection,
      failure: { failure in
        inference.metrics.requestFailed(kind: failure.kind)
        return OpenAIStreamError(failure)
      },
      produce: { sink in
        defer { withExtendedLifetime(ticket) {} }
        let usages = try await inMembersOrder(body.prompt.items) { index, item in
          try await stream(item, at: index, body, scope: scope, to: sink)
        }
        if body.streamOptions?.includeUsage == true {
          try sink.send(reply(scope, choices: [], usage: Self.total(usages)))
        }
        sink.sendDone()
      }
    )
  }

  private func stream(
    _ item: CompletionPrompt.Item,
    at index: Int,
    _ body: CompletionRequest,
    scope: RequestScope,
    to sink: EventSink
  ) async throws -> Usage {
    let request = try body.request(for: item, tenant: scope.tenant, options: inference.options)
    let first = index * request.count
    @Sendable func send(
      _ answer: Int,
      _ text: String,
      _ logprobs: CompletionLogprobs? = nil,
      finish: String? = nil
    ) throws {
      let choice = CompletionReply.Choice(
        index: first + answer,
        text: text,
        logprobs: logprobs,
        finishReason: finish
      )
      try sink.send(reply(scope, choices: [choice], usage: nil))
    }
    if body.echo == true {
      let lead = try text(of: item)
      for answer in 0..<request.count { try send(answer, lead) }
    }
    let (result, _) = try await inference.run(request, scope: scope) { event in
      switch event {
      case .progress(let progress): try sink.comment(ProgressNote(progress))
      case .token(let token):
        var logprobs: CompletionLogprobs?
        if body.logprobs != nil {
          var list = CompletionLogprobs()
          list.append(token)
          logprobs = list
        }
        try send(token.sequence, token.text, logprobs)
      case .started, .promptScored, .finished: break
      }
    }
    for answer in result.sequences {
      try send(answer.index, "", finish: answer.finishReason.openAIName)
    }
    return Usage(result)
  }

  private func check(_ body: CompletionRequest) throws(ServerError) {
    let options = inference.options
    let count = body.prompt.items.count
    guard count <= options.maxClientBatchSize else {
      throw .validation(
        "Number of prompts exceeds the maximum allowed batch size of \(options.maxClientBatchSize)"
      )
    }
    guard count > 0, body.prompt.items.allSatisfy({ !$0.isEmpty }) else {
      throw .validation("`prompt` cannot be empty")
    }
    guard body.suffix == nil else {
      throw .validation("Suffix is not supported and can be achieved by preprocessing the prompt.")
    }
    guard body.maxTokens != 0 || (body.echo == true && body.stream != true) else {
      throw .validation("`max_tokens` must be strictly positive")
    }
    // Everything else is checked on an empty prompt, so that a stream is not begun in vain.
    _ = try body.request(for: .tokens([]), tenant: "", options: options)
  }

  private func text(of item: CompletionPrompt.Item) throws -> String {
    switch item {
    case .text(let text): text
    case .tokens: try inference.engine.tokenize(item.prompt).map(\.text).joined()
    }
  }

  private func reply(
    _ scope: RequestScope,
    choices: [CompletionReply.Choice],
    usage: Usage?
  ) -> CompletionReply {
    let identity = ReplyIdentity(
      prefix: "cmpl",
      scope: scope,
      model: inference.engine.info.name
    )
    return CompletionReply(
      id: identity.id,
      created: identity.created,
      model: identity.model,
      systemFingerprint: identity.fingerprint,
      choices: choices,
      usage: usage
    )
  }

  private static func total(_ usages: [Usage]) -> Usage {
    Usage(
      prompt: usages.reduce(0) { $0 + $1.promptTokens },
      completion: usages.reduce(0) { $0 + $1.completionTokens }
    )
  }
}

extension CompletionPrompt.Item {
  /// The engine's prompt; text is plain.
  fileprivate var prompt: Prompt {
    switch self {
    case .text(let text): .interleaved([.text(text)])
    case .tokens(let ids): Prompt(.tokens(ids))
    }
  }

  fileprivate var isEmpty: Bool {
    switch self {
    case .text(let text): text.isEmpty
    case .tokens(let ids): ids.isEmpty
    }
  }

  fileprivate var characters: Int {
    if case .text(let text) = self { text.unicodeScalars.count } else { 0 }
  }
}

extension CompletionRequest {
  /// The engine's request for one of the prompts.
  fileprivate func request(
    for item: CompletionPrompt.Item,
    tenant: String,
    options: ServerOptions
  ) throws(ServerError) -> GenerationRequest {
    try OpenAISampling.checkCount(n ?? 1, limits: options)
    var sampling = try OpenAISampling.options(
      maxTokens: maxTokens == 0 ? nil : maxTokens,
      temperature: temperature,
      topP: topP,
      seed: seed,
      stop: stop?.values ?? [],
      frequencyPenalty: frequencyPenalty,
      presencePenalty: presencePenalty,
      logitBias: logitBias,
      limits: options
    )
    if let repetitionPenalty { sampling.repetitionPenalty = repetitionPenalty }
    let top = OpenAISampling.maximumTopLogprobs
    guard (0...top).contains(logprobs ?? 0) else {
      throw .validation("`logprobs` must be >= 0 and <= \(top). Given: \(logprobs ?? 0)")
    }
    sampling.logprobs = logprobs
    var request = GenerationRequest(prompt: item.prompt, sampling: sampling)
    request.count = n ?? 1
    request.tenant = tenant
    if echo == true, let logprobs { request.promptLogprobs = logprobs }
    return request
  }
}
