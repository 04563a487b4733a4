// A flag that another thread raises to stop a pass; the model reads it before every section of its
// weights, and between attention and MLP.

import Synchronization

/// Asks a running pass to stop.
public final class CancellationFlag: Sendable {
  private let raised = Atomic(false)

  /// A flag that is not raised.
  public init() {}

  /// Whether a stop was asked for.
  public var isRaised: Bool { raised.load(ordering: .relaxed) }

  /// Asks the pass to stop.
  public func raise() { raised.store(true, ordering: .relaxed) }

  /// Takes the request back, before the next pass.
  public func lower() { raised.store(false, ordering: .relaxed) }
}
