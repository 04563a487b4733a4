// What calibration tells the quantiser of one input: how much an error in each column weighs, and how
// errors are made up for in later columns.

import IdeficsModel
import Kernels
import Tensors

/// Calibration of the columns of a matrix.
package final class ColumnCalibration: Sendable {
  /// What a squared error in each column weighs, relative to the mean: `[columns]`.
  package let importance: [Float]
  /// How errors are passed on; `nil`: they are not.
  let feedback: FeedbackFactor?

  /// Uses the moments that `gram` has summed, which is of no use afterwards.
  init(_ gram: GramMatrix, method: CalibrationMethod, _ compute: ComputeContext) {
    switch method {
    case .weighted:
      let squares = gram.meanSquares
      let mean = squares.reduce(0, +) / Float(squares.count)
      // Damped as in `FeedbackFactor`: no column weighs nothing.
      importance = squares.map { mean > 0 ? $0 / mean + FeedbackFactor.damping : 1 }
      feedback = nil
    case .compensated:
      let factor = FeedbackFactor(gram, compute)
      importance = factor.diagonal
      feedback = factor
    }
  }

  /// Calibrates with the inputs `x [rows, columns]`, row-major.
  package convenience init?(
    inputs x: [Float],
    columns: Int,
    method: CalibrationMethod,
    compute: ComputeContext
  ) {
    guard columns > 0, !x.isEmpty, x.count % columns == 0 else { return nil }
    let gram = GramMatrix(columns: columns)
    gram.add(Matrix(rows: x.count / columns, columns: columns, values: x), compute)
    self.init(gram, method: method, compute)
  }

  /// What column `i` passes on to column `j` of what it lost; 0 without feedback, and where `j <= i`.
  package func passed(from i: Int, to j: Int) -> Float {
    guard let feedback, i < j else { return 0 }
    let block = i / FeedbackFactor.block
    let place = (j - block * FeedbackFactor.block) * FeedbackFactor.block
    return feedback.withBlock(block) { $0[place + i % FeedbackFactor.block] }
  }

  /// `importance`, and zeros up to `count`.
  func paddedImportance(_ count: Int) -> [Float] {
    importance + [Float](repeating: 0, count: max(0, count - importance.count))
  }
}
