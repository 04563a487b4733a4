// Second moments of the inputs of a linear layer, `Σ xᵀx`, summed with the kernels of the runtime: a
// product of the transposed activations with themselves. Sums run in the order of the tokens, so the
// result is the same on every machine and for any number of threads.

import Kernels
import Tensors

/// `Σ xᵀx` over the rows seen so far.
final class GramMatrix {
  /// Rows summed at once.
  static let slab = 512

  /// Width of the inputs.
  let columns: Int
  /// `[columns, columns]`, both triangles.
  private(set) var sums: Matrix
  /// Rows seen.
  private(set) var count = 0

  init(columns: Int) {
    self.columns = columns
    sums = Matrix(rows: columns, columns: columns)
  }

  /// Adds the rows of `x [rows, columns]`.
  func add(_ x: borrowing Matrix, _ compute: ComputeContext) {
    precondition(x.columns == columns, "activations of another width")
    for first in stride(from: 0, to: x.rows, by: Self.slab) {
      add(x, first: first, rows: min(Self.slab, x.rows - first), compute)
    }
    count += x.rows
  }

  private func add(_ x: borrowing Matrix, first: Int, rows: Int, _ compute: ComputeContext) {
    let columns = columns
    guard let layout = PackedLayout(rows: columns, columns: rows, encoding: .f32) else {
      preconditionFailure("activations have a shape")
    }
    var turned = Matrix(rows: columns, columns: rows)
    var tiles = AlignedBuffer<Float>(count: layout.byteCount(.codes) / 4)
    x.storage.withElements { x in
      turned.storage.withMutableElements { turned in
        tiles.withMutableElements { tiles in
          for row in 0..<rows {
            let source = UnsafeBufferPointer(rebasing: x[((first + row) * columns)...])
            for k in 0..<columns {
              turned[k &* rows &+ row] = source[k]
              // A tile holds 16 inputs: one vector of them for each token.
              tiles[(k >> 4 &* rows &+ row) &* 16 &+ k & 15] = source[k]
            }
          }
        }
      }
    }
    guard let packed = PackedMatrix(layout: layout, codes: ByteSlice(tiles.freeze())) else {
      preconditionFailure("the tiles fill their layout")
    }
    compute.linearAdd(turned, packed, into: &sums)
  }

  /// Gives the sums away; nothing can be added afterwards.
  func take() -> Matrix {
    var taken = Matrix(rows: 0, columns: columns)
    swap(&taken, &sums)
    return taken
  }

  /// Mean square of every input.
  var meanSquares: [Float] {
    (0..<columns).map { sums[$0, $0] / Float(max(count, 1)) }
  }
}
