// `/v1/chat/completions`: a conversation in, the assistant's turn out, whole or as a stream.

import Foundation
import Hummingbird
import Idefix

/// Chat in OpenAI's dialect.
struct ChatRoutes: Sendable {
  let inference: Inference

  func add(to router: Router<RequestScope>) {
    router.post("/v1/chat/completions") { request, scope in
      let (body, ticket) = try await inference.receive(ChatRequest.self, from: request)
      return try await reply(to: body, scope: scope, ticket: ticket)
    }
  }

  /// Answers a decoded request.
  func reply(
    to body: ChatRequest,
    scope: RequestScope,
    ticket: Admission.Ticket
  ) async throws -> Response {
    let characters = body.messages.reduce(0) { $0 + $1.characters }
    if body.stream == true {
      return stream(body, characters: characters, scope: scope, ticket: ticket)
    }
    let (result, timing) = try await scope.connection.whileOpen {
      try await inference.run(
        try await generation(for: body, scope: scope, ticket: ticket),
        scope: scope
      )
    }
    withExtendedLifetime(ticket) {}
    let identity = identity(of: scope)
    let reply = ChatReply(
      id: identity.id,
      created: identity.created,
      model: identity.model,
      systemFingerprint: identity.fingerprint,
      choices: result.sequences.map { answer in
        ChatReply.Choice(
          index: answer.index,
          message: AnswerMessage(content: answer.text),
          logprobs: body.logprobs == true
            ? ChatLogprobs(content: answer.tokens.map(ChatLogprobs.Token.init)) : nil,
          finishReason: answer.finishReason.openAIName
        )
      },
      usage: Usage(result)
    )
    return try .json(reply, headers: timing.headers(characters: characters))
  }

  private func stream(
    _ body: ChatRequest,
    characters: Int,
    scope: RequestScope,
    ticket: Admission.Ticket
  ) -> Response {
    let identity = identity(of: scope)
    @Sendable func chunk(
      _ choices: [ChatChunk.Choice],
      _ result: GenerationResult? = nil
    ) -> ChatChunk {
      ChatChunk(
        id: identity.id,
        created: identity.created,
        model: identity.model,
        systemFingerprint: identity.fingerprint,
        choices: choices,
        usage: result.map(Usage.init),
        timings: result.map(Timings.init)
      )
    }
    return EventStream.response(
      headers: RequestTiming.streamHeaders(characters: characters),
      keepAlive: inference.options.keepAliveInterval,
      connection: scope.connection,
      failure: { failure in
        inference.metrics.requestFailed(kind: failure.kind)
        return OpenAIStreamError(failure)
      },
      produce: { sink in
        defer { withExtendedLifetime(ticket) {} }
        let request = try await generation(for: body, scope: scope, ticket: ticket)
        let (result, _) = try await inference.run(request, scope: scope) { event in
          switch event {
          case .progress(let progress): try sink.comment(ProgressNote(progress))
          case .token(let token): try sink.send(chunk([Self.choice(token, body)]))
          case .started, .promptScored, .finished: break
          }
        }
        for answer in result.sequences {
          try sink.send(
            chunk([
              ChatChunk.Choice(
                index: answer.index,
                delta: .init(""),
                logprobs: nil,
                finishReason: answer.finishReason.openAIName
              )
            ])
          )
        }
        if body.streamOptions?.includeUsage == true { try sink.send(chunk([], result)) }
        sink.sendDone()
      }
    )
  }

  private static func choice(_ token: TokenEvent, _ body: ChatRequest) -> ChatChunk.Choice {
    ChatChunk.Choice(
      index: token.sequence,
      delta: .init(token.text),
      logprobs: body.logprobs == true ? ChatLogprobs(content: [.init(token)]) : nil,
      finishReason: nil
    )
  }

  /// The engine's request for a body, images loaded.
  func generation(
    for body: ChatRequest,
    scope: RequestScope,
    ticket: Admission.Ticket
  ) async throws -> GenerationRequest {
    var request = try body.request(options: inference.options)
    try inference.checkImageCount(body.imageAddresses.count)
    request.prompt = try await body.prompt(escapingRoles: inference.options.escapesRoles) {
      try await inference.image(at: $0, ticket: ticket)
    }
    request.tenant = scope.tenant
    return request
  }

  private func identity(of scope: RequestScope) -> ReplyIdentity {
    ReplyIdentity(prefix: "chatcmpl", scope: scope, model: inference.engine.info.name)
  }
}

/// What every reply of the OpenAI-style routes says of itself.
struct ReplyIdentity: Sendable {
  let id: String
  let created: Int
  let model: String
  let fingerprint = "\(ServerOptions.version)-native"

  init(prefix: String, scope: RequestScope, model: String) {
    id = "\(prefix)-\(scope.id)"
    created = Int(Date.now.timeIntervalSince1970)
    self.model = model
  }
}

extension ChatRequest.Message {
  /// Characters of its text.
  fileprivate var characters: Int {
    switch content {
    case .text(let text): text.unicodeScalars.count
    case .parts(let parts): parts.reduce(0) { $0 + ($1.text?.unicodeScalars.count ?? 0) }
    case nil: 0
    }
  }
}
