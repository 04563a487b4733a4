// The public face of the library: load a model, generate, score. An Engine can be used from any thread; one
// thread of its own does all the work (EngineLoop). Refuses requests that cannot be answered before they queue.

import Foundation
import IdeficsModel
import Synchronization
import Tokenizers

/// A loaded model that answers requests, several at a time.
///
/// ```swift
/// let engine = try await Engine.load(from: "idefics-9b-instruct.idfx")
/// let question = ChatMessage(
///   role: .user,
///   content: [.image(try .file("dog.jpg")), .text("What is in this image?")]
/// )
/// for try await event in engine.generate(GenerationRequest(prompt: .chat([question]))) {
///   if case .token(let token) = event { print(token.text, terminator: "") }
/// }
/// ```
public final class Engine: Sendable {
  /// Facts of the loaded model.
  public let info: ModelInfo
  /// Where its weights are.
  public let residency: WeightResidency

  private let preparer: RequestPreparer
  private let mailbox: Mailbox
  private let counters: EngineCounters
  private let exit: ExitSignal
  /// Requests that may be in the engine at a time.
  private let openLimit: Int
  private let admission = Mutex((nextID: UInt64(0), open: 0))

  private init(
    _ parts: EngineParts,
    residency: WeightResidency,
    mailbox: Mailbox,
    counters: EngineCounters,
    exit: ExitSignal
  ) {
    info = parts.info
    self.residency = residency
    preparer = parts.preparer
    openLimit = parts.options.maxWaiting + parts.options.maxSequences
    self.mailbox = mailbox
    self.counters = counters
    self.exit = exit
  }

  deinit { _ = mailbox.post(.shutDown) }

  /// Starts an engine thread on a model that is made there.
  package static func start(
    _ parts: EngineParts,
    model: @escaping @Sendable () throws -> any ForwardModel
  ) async throws -> Engine {
    let counters = EngineCounters()
    let exit = ExitSignal()
    let tokenizer = parts.preparer.renderer.tokenizer
    let tokenTable = SharedTokenTable(tokenizer.vocabulary)
    Task(executorPreference: PreparationExecutor.shared) { tokenTable.prepare() }
    let (mailbox, residency) = try await withCheckedThrowingContinuation {
      (continuation: CheckedContinuation<(Mailbox, WeightResidency), any Error>) in
      let thread = Thread {
        defer { exit.raise() }
        do {
          let model = try model()
          let mailbox = Mailbox(cancellation: model.cancellation)
          let loop = EngineLoop(
            model: model,
            tokenizer: tokenizer,
            tokenTable: tokenTable,
            options: parts.options,
            mailbox: mailbox,
            counters: counters
          )
          continuation.resume(returning: (mailbox, model.residency))
          loop.run()
        } catch {
          continuation.resume(throwing: error)
        }
      }
      thread.name = "idefix engine"
      thread.stackSize = 16 << 20
      thread.start()
    }
    return Engine(
      parts,
      residency: residency,
      mailbox: mailbox,
      counters: counters,
      exit: exit
    )
  }

  /// Counters and gauges as of now.
  public var metrics: EngineMetrics { counters.snapshot }

  /// Answers a request.
  ///
  /// Events come as they happen. Cancelling the task that iterates, or letting go of the stream, cancels the
  /// request. Refused requests throw an ``EngineError`` from the stream before the first event.
  public func generate(
    _ request: GenerationRequest
  ) -> AsyncThrowingStream<GenerationEvent, any Error> {
    events { try $0.prepare(request) }
  }

  /// Answers a request and returns everything about it once it is complete.
  ///
  /// - Throws: An ``EngineError``, or `CancellationError` if the task was cancelled.
  public func result(of request: GenerationRequest) async throws -> GenerationResult {
    for try await event in generate(request) {
      if case .finished(let result) = event { return result }
    }
    try Task.checkCancellation()
    throw EngineError.internalFailure(reason: "a request ended without a result")
  }

  /// Log-probabilities of every token of a prompt, images included; the first token's is `nil`.
  public func score(_ request: ScoreRequest) async throws -> [ScoredToken] {
    var scores: [ScoredToken] = []
    for try await event in events({ try $0.prepare(request) }) {
      if case .promptScored(let tokens) = event { scores = tokens }
    }
    try Task.checkCancellation()
    return scores
  }

  /// Renders a prompt without running the model: its token ids, each with its own text.
  public func tokenize(_ prompt: Prompt) throws(EngineError) -> [TokenText] {
    let reporter = TokenReporter(vocabulary: preparer.renderer.tokenizer.vocabulary)
    return try preparer.renderer.render(prompt).tokens.map {
      TokenText(id: $0, text: reporter.text(of: $0), isSpecial: reporter.isSpecial($0))
    }
  }

  /// Computes a prompt's state and keeps it in the cache; nothing is answered.
  func warm(
    _ prefix: Prompt,
    tenant: String
  ) async throws -> PreparedRequest {
    let prepared = try preparer.prepare(prefix: prefix, tenant: tenant)
    for try await _ in events({ _ in prepared }) {}
    try Task.checkCancellation()
    return prepared
  }

  /// Runs `body` on the engine thread, between two steps.
  func onEngineThread<Result: Sendable>(
    _ body: @escaping @Sendable (EngineLoop) throws -> Result
  ) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
      let isPosted = mailbox.post(
        .perform { loop in
          guard let loop else { return continuation.resume(throwing: EngineError.shutDown) }
          continuation.resume(with: Swift.Result { try body(loop) })
        }
      )
      if !isPosted { continuation.resume(throwing: EngineError.shutDown) }
    }
  }

  /// What goes into the names of a tenant's state.
  func salt(_ tenant: String) -> String { preparer.salt(tenant) }

  /// Ends all requests with ``EngineError/shutDown`` and returns when the engine's thread is gone.
  public func shutDown() async {
    _ = mailbox.post(.shutDown)
    await exit.wait()
  }

  private func events(
    _ prepare: @escaping @Sendable (RequestPreparer) throws -> PreparedRequest
  ) -> AsyncThrowingStream<GenerationEvent, any Error> {
    AsyncThrowingStream { continuation in
      guard let id = enter() else {
        counters.update { $0.failed += 1 }
        return continuation.finish(throwing: EngineError.overloaded(limit: openLimit))
      }
      let start = ContinuousClock.now
      let handle = RequestHandle()
      let preparation = Task(executorPreference: PreparationExecutor.shared) {
        do {
          let prepared = try prepare(self.preparer)
          var receipt = CostReceipt()
          receipt.decodeImages.milliseconds = (ContinuousClock.now - start).milliseconds
          receipt.decodeImages.bytes = prepared.decodedBytes
          let submission = Mailbox.Submission(
            id: id,
            prepared: prepared,
            receipt: receipt,
            time: .now,
            emit: { continuation.yield($0) },
            close: { continuation.finish(throwing: $0) }
          )
          try handle.submit {
            guard self.mailbox.post(.submit(submission)) else { throw EngineError.shutDown }
            self.counters.update {
              $0.requests += 1
              $0.promptTokens += prepared.tokens.count
            }
          }
        } catch {
          if error is EngineError { self.counters.update { $0.failed += 1 } }
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { reason in
        self.leave()
        guard case .cancelled = reason else { return }
        handle.cancel { _ = self.mailbox.post(.cancel(id)) }
        preparation.cancel()
      }
    }
  }

  /// A number for a new request, or `nil` if there are too many.
  private func enter() -> UInt64? {
    admission.withLock { state in
      guard state.open < openLimit else { return nil }
      state.open += 1
      state.nextID += 1
      return state.nextID
    }
  }

  private func leave() { admission.withLock { $0.open -= 1 } }
}

/// What an engine is made of besides its model.
package struct EngineParts: Sendable {
  /// Facts of the model.
  package var info: ModelInfo
  /// Validates requests.
  package var preparer: RequestPreparer
  /// Limits.
  package var options: EngineOptions

  /// The parts of an engine.
  package init(info: ModelInfo, preparer: RequestPreparer, options: EngineOptions) {
    self.info = info
    self.preparer = preparer
    self.options = options
  }
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
