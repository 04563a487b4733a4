// The wall time of one request, split into phases without gaps.

import IdeficsModel

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

extension ImageStage {
  /// Where a receipt books the stage.
  var cost: WritableKeyPath<CostReceipt, PhaseCost> {
    switch self {
    case .vision: \.vision
    case .resampler: \.resampler
    case .crossKeysValues: \.crossKeysValues
    }
  }

  /// The stage that follows, if any.
  var next: ImageStage? {
    switch self {
    case .vision: .resampler
    case .resampler: .crossKeysValues
    case .crossKeysValues: nil
    }
  }
}

extension Duration {
  /// The duration in milliseconds.
  package var milliseconds: Double {
    Double(components.seconds) * 1e3 + Double(components.attoseconds) * 1e-15
  }
}
