// A value that one closure leaves for another. Events of one request come one after the other; the lock is
// there because the closures may run on different threads.

import Synchronization

/// The last value that was set.
final class Latest<Value: Sendable>: Sendable {
  private let state = Mutex<Value?>(nil)

  /// The value, once there is one.
  var value: Value? { state.withLock { $0 } }

  func set(_ value: Value) { state.withLock { $0 = value } }
}
