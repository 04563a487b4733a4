// The wall time of one request, split into phases without gaps.

/// Adds up the time of a request's phases.
package struct PhaseClock {
  /// The phase that runs.
  package private(set) var phase: WritableKeyPath<CostReceipt, PhaseCost>
  private var since: ContinuousClock.Instant

  /// A clock that starts in `phase` at `start`.
  package init(
    _ phase: WritableKeyPath<CostReceipt, PhaseCost>,
    at start: ContinuousClock.Instant = .now
  ) {
    self.phase = phase
    since = start
  }

  /// Books the time since the last switch on the phase that ends.
  package mutating func enter(
    _ next: WritableKeyPath<CostReceipt, PhaseCost>,
    _ receipt: inout CostReceipt
  ) {
    let now = ContinuousClock.Instant.now
    receipt[keyPath: phase].milliseconds += (now - since).milliseconds
    since = now
    phase = next
  }
}

extension Duration {
  /// The duration in milliseconds.
  package var milliseconds: Double {
    Double(components.seconds) * 1e3 + Double(components.attoseconds) * 1e-15
  }
}
