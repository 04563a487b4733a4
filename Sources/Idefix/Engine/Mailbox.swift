// How other threads reach the engine thread: messages in order, and the one thing that cannot wait for the next step,
// cancellation of the running pass. A pass is stopped only if every request in it was cancelled; otherwise the others
// would pay for the one that left.

import Foundation
import IdeficsModel
import Synchronization

/// The engine thread's inbox.
final class Mailbox: Sendable {
  /// What the engine thread can be asked.
  enum Message: Sendable {
    case submit(Submission)
    case cancel(UInt64)
    /// Runs between two steps; with `nil` if the engine was shut down before.
    case perform(@Sendable (EngineLoop?) -> Void)
    case shutDown
  }

  /// A request on its way to the engine thread.
  struct Submission: Sendable {
    let id: UInt64
    let prepared: PreparedRequest
    let receipt: CostReceipt
    let time: ContinuousClock.Instant
    let emit: @Sendable (GenerationEvent) -> Void
    let close: @Sendable ((any Error)?) -> Void
  }

  private struct State {
    var messages: [Message] = []
    var inFlight: Set<UInt64> = []
    var cancelled: Set<UInt64> = []
    var isOpen = true
  }

  private let state = Mutex(State())
  private let arrivals = DispatchSemaphore(value: 0)
  /// Stops the running pass.
  let cancellation: CancellationFlag

  init(cancellation: CancellationFlag) { self.cancellation = cancellation }

  /// Posts a message; false once the engine was shut down.
  func post(_ message: Message) -> Bool {
    let isOpen = state.withLock { state in
      guard state.isOpen else { return false }
      state.messages.append(message)
      if case .cancel(let id) = message {
        state.cancelled.insert(id)
        if !state.inFlight.isEmpty, state.inFlight.isSubset(of: state.cancelled) {
          cancellation.raise()
        }
      }
      return true
    }
    if isOpen { arrivals.signal() }
    return isOpen
  }

  /// All messages that arrived, waiting for the first if `wait` says so.
  func take(wait: Bool) -> [Message] {
    if wait { arrivals.wait() }
    return state.withLock { state in
      defer { state.messages = [] }
      for case .cancel(let id) in state.messages { state.cancelled.remove(id) }
      return state.messages
    }
  }

  /// Refuses messages from now on; those that arrived but were not taken are returned.
  func close() -> [Message] {
    state.withLock { state in
      state.isOpen = false
      defer { state.messages = [] }
      return state.messages
    }
  }

  /// Runs a pass for `requests`, which their cancellation stops.
  func withPass<Result>(for requests: Set<UInt64>, _ body: () throws -> Result) rethrows -> Result {
    state.withLock { state in
      cancellation.lower()
      state.inFlight = requests
      if requests.isSubset(of: state.cancelled) { cancellation.raise() }
    }
    defer {
      state.withLock { state in
        state.inFlight = []
        cancellation.lower()
      }
    }
    return try body()
  }
}
