// A conversation with its history. Each turn sends the whole conversation; the engine's prefix cache makes that as
// cheap as sending the new turn alone.

/// A conversation that remembers its turns.
public actor ChatSession {
  /// The turns so far.
  public private(set) var messages: [ChatMessage]

  private let engine: Engine
  private let sampling: SamplingOptions

  /// A conversation, with instructions before the first turn if there are any.
  public init(
    engine: Engine,
    system: String? = nil,
    sampling: SamplingOptions = SamplingOptions()
  ) {
    self.engine = engine
    self.sampling = sampling
    messages = system.map { [ChatMessage(role: .system, text: $0)] } ?? []
  }

  /// Says something and answers with the events of the reply.
  ///
  /// The reply joins the conversation when the engine has finished it; a reply that is broken off before
  /// that, or fails, leaves the conversation as it was.
  public func send(_ parts: [PromptPart]) -> AsyncThrowingStream<GenerationEvent, any Error> {
    let asked = messages + [ChatMessage(role: .user, content: parts)]
    let events = engine.generate(GenerationRequest(prompt: .chat(asked), sampling: sampling))
    return AsyncThrowingStream { continuation in
      let relay = Task {
        do {
          for try await event in events {
            if case .finished(let result) = event, let answer = result.sequences.first {
              messages = asked + [ChatMessage(role: .assistant, text: answer.text)]
            }
            continuation.yield(event)
          }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { _ in relay.cancel() }
    }
  }

  /// Takes back the last question and its reply; false if there is none.
  @discardableResult
  public func undo() -> Bool {
    guard let last = messages.lastIndex(where: { $0.role == .user }) else { return false }
    messages.removeSubrange(last...)
    return true
  }

  /// Forgets everything but the instructions.
  public func clear() { messages.removeAll { $0.role != .system } }
}
