// The routes of text-generation-inference that generate: `/`, `/generate` and `/generate_stream`. Prompts are
// raw: markdown images are images and `<end_of_utterance>` is a token.

import Hummingbird
import Idefix

/// Generation in text-generation-inference's dialect.
struct TGIRoutes: Sendable {
  let inference: Inference

  func add(to router: Router<RequestScope>) {
    router.post("/generate") { request, scope in
      let (body, ticket) = try await inference.receive(GenerateRequest.self, from: request)
      return try await reply(to: body, scope: scope, ticket: ticket, asArray: false)
    }
    router.post("/generate_stream") { request, scope in
      let (body, ticket) = try await inference.receive(GenerateRequest.self, from: request)
      return stream(body, scope: scope, ticket: ticket)
    }
    router.post("/") { request, scope in
      let (body, ticket) = try await inference.receive(GenerateRequest.self, from: request)
      return try await compatible(body, scope: scope, ticket: ticket)
    }
  }

  /// What `/` does: an array, or a stream if the body says so.
  func compatible(
    _ body: GenerateRequest,
    scope: RequestScope,
    ticket: Admission.Ticket
  ) async throws -> Response {
    if body.stream == true { return stream(body, scope: scope, ticket: ticket) }
    return try await reply(to: body, scope: scope, ticket: ticket, asArray: true)
  }

  private func reply(
    to body: GenerateRequest,
    scope: RequestScope,
    ticket: Admission.Ticket,
    asArray: Bool
  ) async throws -> Response {
    let parameters = body.parameters ?? .absent
    let (reply, timing) = try await scope.connection.whileOpen {
      let request = try await generation(
        for: body,
        scope: scope,
        ticket: ticket,
        streaming: false
      )
      let prefill = Latest<[ScoredToken]>()
      let (result, timing) = try await inference.run(request, scope: scope) { event in
        if case .promptScored(let tokens) = event { prefill.set(tokens) }
      }
      return (Self.reply(result, prefill: prefill.value ?? [], to: body, parameters), timing)
    }
    withExtendedLifetime(ticket) {}
    let headers = timing.headers(characters: body.inputs.unicodeScalars.count)
    return asArray
      ? try .json([reply], headers: headers) : try .json(reply, headers: headers)
  }

  private func stream(
    _ body: GenerateRequest,
    scope: RequestScope,
    ticket: Admission.Ticket
  ) -> Response {
    let parameters = body.parameters ?? .absent
    return EventStream.response(
      headers: RequestTiming.streamHeaders(characters: body.inputs.unicodeScalars.count),
      keepAlive: inference.options.keepAliveInterval,
      connection: scope.connection,
      failure: { failure in
        inference.metrics.requestFailed(kind: failure.kind)
        return ErrorBody(failure)
      },
      produce: { sink in
        defer { withExtendedLifetime(ticket) {} }
        let request = try await generation(
          for: body,
          scope: scope,
          ticket: ticket,
          streaming: true
        )
        let last = Latest<TokenEvent>()
        let (result, _) = try await inference.run(request, scope: scope) { event in
          switch event {
          case .progress(let progress): try sink.comment(ProgressNote(progress))
          case .token(let token) where token.finishReason != nil: last.set(token)
          case .token(let token): try sink.send(Self.event(token, parameters))
          case .started, .promptScored, .finished: break
          }
        }
        guard let token = last.value, let answer = result.sequences.first else {
          throw ServerError.incomplete
        }
        try sink.send(Self.lastEvent(token, answer, result, to: body, parameters))
      }
    )
  }

  /// The engine's request for a body, images loaded.
  func generation(
    for body: GenerateRequest,
    scope: RequestScope,
    ticket: Admission.Ticket,
    streaming: Bool
  ) async throws -> GenerationRequest {
    guard !body.inputs.isEmpty else { throw ServerError.validation("`inputs` cannot be empty") }
    let parameters = body.parameters ?? .absent
    // Everything cheap is checked before the first image is looked at.
    var request = try parameters.request(
      for: .interleaved([]),
      streaming: streaming,
      context: inference.engine.info.contextTokens,
      options: inference.options
    )
    request.prompt = .interleaved(try await inference.parts(of: body.inputs, ticket: ticket))
    request.prompt.parsesSpecialTokens = true
    request.tenant = scope.tenant
    return request
  }
}

extension TGIRoutes {
  private static func reply(
    _ result: GenerationResult,
    prefill: [ScoredToken],
    to body: GenerateRequest,
    _ parameters: GenerateParameters
  ) -> GenerateReply {
    let ranked = result.sequences.sorted { $0.score > $1.score }
    guard let best = ranked.first else { return GenerateReply(generatedText: "", details: nil) }
    let lead = parameters.returnFullText == true ? body.inputs : ""
    guard parameters.wantsDetails else {
      return GenerateReply(generatedText: lead + best.text, details: nil)
    }
    let prompt = prefill.map(PrefillToken.init)
    let wantsTop = (parameters.topNTokens ?? 0) > 0
    func top(_ answer: GeneratedSequence) -> [[ReplyToken]]? {
      wantsTop ? answer.tokens.map { $0.top.map(ReplyToken.init) } : nil
    }
    let others = ranked.dropFirst().map { answer in
      GenerateReply.Sequence(
        generatedText: lead + answer.text,
        finishReason: answer.finishReason.tgiName,
        generatedTokens: answer.tokens.count,
        seed: result.prompt.seed,
        prefill: prompt,
        tokens: answer.tokens.map(ReplyToken.init),
        topTokens: top(answer)
      )
    }
    return GenerateReply(
      generatedText: lead + best.text,
      details: .init(
        finishReason: best.finishReason.tgiName,
        generatedTokens: best.tokens.count,
        seed: result.prompt.seed,
        prefill: prompt,
        tokens: best.tokens.map(ReplyToken.init),
        topTokens: top(best),
        bestOfSequences: others.isEmpty ? nil : others
      )
    )
  }

  private static func event(
    _ token: TokenEvent,
    _ parameters: GenerateParameters
  ) -> StreamReply {
    StreamReply(
      index: token.index + 1,
      token: ReplyToken(token),
      topTokens: (parameters.topNTokens ?? 0) > 0 ? token.top.map(ReplyToken.init) : nil,
      generatedText: nil,
      details: nil
    )
  }

  private static func lastEvent(
    _ token: TokenEvent,
    _ answer: GeneratedSequence,
    _ result: GenerationResult,
    to body: GenerateRequest,
    _ parameters: GenerateParameters
  ) -> StreamReply {
    var event = event(token, parameters)
    event.generatedText = (parameters.returnFullText == true ? body.inputs : "") + answer.text
    guard parameters.details == true else { return event }
    event.details = .init(
      finishReason: answer.finishReason.tgiName,
      generatedTokens: answer.tokens.count,
      seed: result.prompt.seed,
      inputLength: result.prompt.tokens.count
    )
    return event
  }
}
