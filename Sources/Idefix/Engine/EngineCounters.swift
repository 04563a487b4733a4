// The engine's counters, written by the engine thread and read by anyone.

import Synchronization

/// Counters behind a lock.
package final class EngineCounters: Sendable {
  private let metrics = Mutex(EngineMetrics())

  /// All zero.
  package init() {}

  /// The counters as of now.
  package var snapshot: EngineMetrics { metrics.withLock { $0 } }

  /// Changes the counters.
  package func update(_ body: (inout EngineMetrics) -> Void) { metrics.withLock { body(&$0) } }
}
