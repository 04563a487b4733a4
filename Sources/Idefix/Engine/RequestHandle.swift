// Keeps a request's submission and its cancellation in order: what was cancelled before it was submitted never reaches
// the engine thread, and a cancellation never overtakes its request.

import Synchronization

/// The way of one request into the engine.
final class RequestHandle: Sendable {
  private enum State {
    case preparing
    case submitted
    case cancelled
  }

  private let state = Mutex(State.preparing)

  /// Runs `body` unless the request was cancelled.
  func submit(_ body: () throws -> Void) throws {
    try state.withLock { state in
      guard case .preparing = state else { throw CancellationError() }
      try body()
      state = .submitted
    }
  }

  /// Cancels the request; runs `body` if the engine has it.
  func cancel(_ body: () -> Void) {
    state.withLock { state in
      if case .submitted = state { body() }
      state = .cancelled
    }
  }
}
