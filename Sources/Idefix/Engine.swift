// The public face of the library: load a model, generate, score. An Engine can be used from any thread; one
// thread of its own does all the work (EngineLoop). Refuses requests that cannot be answered before they queue.

/// A loaded model that answers requests, several at a time.
///
/// ```swift
/// let engine = try await Engine.load(from: "idefics-9b-instruct.idfx")
/// let prompt = Prompt.chat([
///   ChatMessage(role: .user, content: [.image(.encoded(jpeg)), .text("What is in this image?")])
/// ])
/// for try await event in engine.generate(GenerationRequest(prompt: prompt)) {
///   if case .token(let token) = event { print(token.text, terminator: "") }
/// }
/// ```
public final class Engine: Sendable {
  private let backend: any EngineBackend

  package init(backend: any EngineBackend) { self.backend = backend }

  /// Facts of the loaded model.
  public var info: ModelInfo { backend.info }

  /// Counters and gauges as of now.
  public var metrics: EngineMetrics { backend.metrics }

  /// Answers a request.
  ///
  /// Events come as they happen; ending the iteration (or its task) cancels the request.  ///
  /// Refused requests throw an ``EngineError`` from the stream before the first event.
  public func generate(
    _ request: GenerationRequest
  ) -> AsyncThrowingStream<GenerationEvent, any Error> {
    backend.generate(request)
  }

  /// Log-probabilities of every token of a prompt, images included; the first token's is `nil`.
  public func score(_ request: ScoreRequest) async throws -> [ScoredToken] {
    try await backend.score(request)
  }

  /// Renders a prompt without running the model: its token ids, each with its own text.
  public func tokenize(_ prompt: Prompt) throws(EngineError) -> [TokenText] {
    try backend.tokenize(prompt)
  }

  /// Ends all requests with ``EngineError/shutDown`` and returns when the engine's thread is gone.
  public func shutDown() async { await backend.shutDown() }
}

/// A token of a rendered prompt.
public struct TokenText: Sendable, Equatable {
  /// Token id.
  public var id: Int32
  /// The token's own text; special tokens by name.
  public var text: String
  /// Whether it is a special token.
  public var isSpecial: Bool
}

/// What stands behind an ``Engine``: the engine loop, or a script in the tests of a front end.
package protocol EngineBackend: Sendable {
  var info: ModelInfo { get }
  var metrics: EngineMetrics { get }
  func generate(_ request: GenerationRequest) -> AsyncThrowingStream<GenerationEvent, any Error>
  func score(_ request: ScoreRequest) async throws -> [ScoredToken]
  func tokenize(_ prompt: Prompt) throws(EngineError) -> [TokenText]
  func shutDown() async
}
