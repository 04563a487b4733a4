// Lets tasks wait for a thread to end.

import Synchronization

/// A signal that is raised once.
final class ExitSignal: Sendable {
  private let state = Mutex((isRaised: false, waiters: [CheckedContinuation<Void, Never>]()))

  /// Wakes everyone who waits, now and later.
  func raise() {
    let waiters = state.withLock { state in
      state.isRaised = true
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }

  /// Returns once the signal is raised.
  func wait() async {
    await withCheckedContinuation { continuation in
      let isRaised = state.withLock { state in
        if !state.isRaised { state.waiters.append(continuation) }
        return state.isRaised
      }
      if isRaised { continuation.resume() }
    }
  }
}
