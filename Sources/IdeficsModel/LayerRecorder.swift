// Keeps copies of intermediate results, so that tests and `idefix doctor` can compare them, layer by
// layer, with reference values. The forward pass only hands matrices over; it never calls up.

import Tensors

/// Named copies of intermediate matrices of one pass.
public final class LayerRecorder {
  /// One recorded matrix.
  public struct Entry {
    /// Name, as in the reference implementation.
    public let name: String
    /// Rows.
    public let rows: Int
    /// Columns.
    public let columns: Int
    /// Row-major values.
    public let values: [Float]
  }

  /// What was recorded, in order.
  public private(set) var entries: [Entry] = []

  /// An empty recorder.
  public init() {}

  func record(_ name: String, _ matrix: borrowing Matrix) {
    entries.append(
      Entry(name: name, rows: matrix.rows, columns: matrix.columns, values: matrix.values())
    )
  }
}
