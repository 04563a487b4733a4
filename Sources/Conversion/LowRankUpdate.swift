// A LoRA update of one matrix, `scale · B A`, added to its rows as they are read. Sums run over the
// rank in order, in float32, so every machine merges to the same bits.

import Tensors

/// `W += scale · B A` with `A [rank, columns]` and `B [rows, rank]`.
struct LowRankUpdate: Sendable {
  /// `[rank, columns]`, row-major.
  let a: [Float]
  /// `[rows, rank]`, row-major.
  let b: [Float]
  /// Rank.
  let rank: Int
  /// Columns of the matrix.
  let columns: Int
  /// Factor on the product.
  let scale: Float

  /// Adds the update to `rows` rows of the matrix that begin with row `firstRow`.
  func add(to matrix: UnsafeMutableBufferPointer<Float>, firstRow: Int, rows: Int) {
    precondition(matrix.count >= rows * columns, "fewer rows than said")
    var delta = [Float](repeating: 0, count: columns)
    for row in 0..<rows {
      for k in 0..<columns { delta[k] = 0 }
      for r in 0..<rank {
        let factor = b[(firstRow + row) * rank + r]
        for k in 0..<columns { delta[k] += factor * a[r * columns + k] }
      }
      for k in 0..<columns { matrix[row * columns + k] += scale * delta[k] }
    }
  }
}
