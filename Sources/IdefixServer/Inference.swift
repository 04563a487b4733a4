// The one way from a route to the engine: images are loaded, the request runs under the server's time limit
// while the client is there, and is counted and logged. Routes only translate.

import Hummingbird
import Idefix
import Logging

/// The engine and everything a route needs to ask it.
struct Inference: Sendable {
  let engine: any GenerationService
  let options: ServerOptions
  let metrics: Metrics
  let admission: Admission
  let bodies: BodyReader
  let fetcher: ImageFetcher

  init(engine: any GenerationService, options: ServerOptions, fetcher: ImageFetcher) {
    self.engine = engine
    self.options = options
    self.fetcher = fetcher
    metrics = Metrics()
    admission = Admission(options: options)
    bodies = BodyReader(options: options)
  }

  /// Takes on a request for an answer, or throws ``ServerError/overloaded``.
  func admit() throws(ServerError) -> Admission.Ticket {
    metrics.requestStarted()
    return try admission.admit()
  }

  /// Takes on a request for an answer and reads its body, whose bytes the ticket holds.
  func receive<Body: Decodable>(
    _ type: Body.Type,
    from request: Request
  ) async throws -> (body: Body, ticket: Admission.Ticket) {
    let ticket = try admit()
    return (try await bodies.decode(type, from: request, ticket: ticket), ticket)
  }

  /// The parts of a prompt in text-generation-inference's syntax, images loaded.
  func parts(of markdown: String, ticket: Admission.Ticket) async throws -> [PromptPart] {
    let pieces = MarkdownPrompt.pieces(of: markdown)
    try checkImageCount(pieces.count { if case .image = $0 { true } else { false } })
    var parts: [PromptPart] = []
    for piece in pieces {
      switch piece {
      case .text(let text): parts.append(.text(text))
      case .image(let address): parts.append(.image(try await image(at: address, ticket: ticket)))
      }
    }
    return parts
  }

  /// Refuses a prompt with too many images, before the first is decoded or fetched.
  func checkImageCount(_ count: Int) throws(ServerError) {
    guard count <= options.maxImages else {
      throw .validation("the prompt has \(count) images; at most \(options.maxImages) are allowed")
    }
  }

  /// The image at a data URI or web address.
  ///
  /// A fetched image counts as bytes that the request holds, as its body does.
  func image(at address: String, ticket: Admission.Ticket) async throws -> ImageInput {
    switch try ImageSource(address) {
    case .inline(let bytes): return .encoded(bytes)
    case .remote(let url):
      let bytes = try await fetcher.fetch(url)
      try ticket.reserve(bytes: bytes.count)
      return .encoded(bytes)
    }
  }

  /// Runs a request to its end and passes on what happens; the result comes back and is not passed on.
  ///
  /// Cancelling the task cancels the request.
  func run(
    _ request: GenerationRequest,
    scope: RequestScope,
    onEvent: @escaping @Sendable (GenerationEvent) async throws -> Void = { _ in }
  ) async throws -> (result: GenerationResult, timing: RequestTiming) {
    do {
      let result = try await withTimeLimit { try await consume(request, onEvent: onEvent) }
      let timing = RequestTiming(start: scope.start, result: result)
      metrics.requestSucceeded(
        timing,
        maxTokens: request.sampling.maxTokens,
        skipped: result.receipt.acceptedTokens
      )
      scope.logger.info(
        "generated",
        metadata: [
          "prompt_tokens": .stringConvertible(timing.promptTokens),
          "cached_tokens": .stringConvertible(result.prompt.cachedTokens),
          "images": .stringConvertible(result.prompt.images),
          "generated_tokens": .stringConvertible(timing.generatedTokens),
          "queue_ms": .stringConvertible(Int(timing.queue)),
          "inference_ms": .stringConvertible(Int(timing.inference)),
        ]
      )
      return (result, timing)
    } catch is CancellationError {
      metrics.requestCancelled()
      throw CancellationError()
    }
  }

  /// Scores a prompt under the server's time limit.
  func score(_ request: ScoreRequest) async throws -> [ScoredToken] {
    try await withTimeLimit { try await engine.score(request) }
  }

  private func consume(
    _ request: GenerationRequest,
    onEvent: @Sendable (GenerationEvent) async throws -> Void
  ) async throws -> GenerationResult {
    for try await event in engine.generate(request) {
      if case .finished(let result) = event { return result }
      try await onEvent(event)
    }
    try Task.checkCancellation()
    throw ServerError.incomplete
  }

  private func withTimeLimit<Value: Sendable>(
    _ operation: @escaping @Sendable () async throws -> Value
  ) async throws -> Value {
    guard let limit = options.requestTimeout else { return try await operation() }
    return try await withDeadline(limit, error: ServerError.timedOut, operation)
  }
}

/// Progress of a prompt as a comment in an event stream.
struct ProgressNote: Encodable {
  var phase: String
  var done: Int
  var total: Int

  init(_ progress: PromptProgress) {
    switch progress {
    case .images(let done, let total): (phase, self.done, self.total) = ("vision", done, total)
    case .prefill(let done, let total): (phase, self.done, self.total) = ("prefill", done, total)
    }
  }
}
