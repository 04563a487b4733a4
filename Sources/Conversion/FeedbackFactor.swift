// The factor by which error-compensating rounding passes errors on: `H = (U + 1) D (U + 1)ᵀ` with U
// strictly upper triangular, H the damped second moments of a layer's inputs. When column i is rounded
// to ŵᵢ, column j > i gets `(wᵢ − ŵᵢ) Uᵢⱼ` added before its turn; the loss `δ H δᵀ` of a row is then
// `Σ Dⱼ ηⱼ²` with ηⱼ the rounding error of column j alone.
// Source: Chee et al., "QuIP", 2023 (LDLQ, which is the order of operations of Frantar et al., "GPTQ",
// 2022, without an inverse).

import Kernels
import Tensors
import WeightFiles

/// U and D of one input.
final class FeedbackFactor: Sendable {
  /// Share of the mean second moment that is added to each: the damping of GPTQ.
  static let damping: Float = 0.01
  /// Columns whose errors are passed on together.
  static let block = 16
  /// Columns factored together; a multiple of `block`.
  private static let panel = 64

  /// Width of the input.
  let columns: Int
  /// D, relative to the mean second moment: `[columns]`.
  let diagonal: [Float]
  /// U: for each block of 16 columns i, and each column j from the block's first on, the 16 values
  /// `Uᵢⱼ`; zero where `j <= i`.
  private let factors: [Float]
  /// Where each block begins in `factors`.
  private let starts: [Int]

  /// Factors the moments that `gram` has summed.
  init(_ gram: GramMatrix, _ compute: ComputeContext) {
    let columns = gram.columns
    let count = Float(max(gram.count, 1))
    var h = gram.take()
    let mean = (0..<columns).reduce(Float(0)) { $0 + h[$1, $1] } / count / Float(columns)
    // Inputs that were never other than zero leave nothing to weigh: any rounding will do.
    let unit = mean > 0 && mean.isFinite ? 1 / (mean * count) : 0
    h.storage.withMutableElements { h in
      for index in h.indices { h[index] *= unit }
      for k in 0..<columns { h[k * columns + k] += unit > 0 ? Self.damping : 1 }
    }
    Self.factor(&h, compute)
    self.columns = columns
    diagonal = (0..<columns).map { h[$0, $0] * h[$0, $0] }
    var starts: [Int] = []
    var size = 0
    for first in stride(from: 0, to: columns, by: Self.block) {
      starts.append(size)
      size += (columns - first) * Self.block
    }
    self.starts = starts
    factors = [Float](unsafeUninitializedCapacity: size) { output, initialized in
      h.storage.withElements { h in
        var place = 0
        for first in stride(from: 0, to: columns, by: Self.block) {
          for j in first..<columns {
            let inverse = 1 / h[j * columns + j]
            for i in first..<(first + Self.block) {
              output[place] = i < j ? h[i * columns + j] * inverse : 0
              place += 1
            }
          }
        }
      }
      initialized = size
    }
  }

  /// The values `Uᵢⱼ` of the 16 columns i from `16 · block` on, for each j from there to the end.
  func withBlock<Result>(_ block: Int, _ body: (UnsafePointer<Float>) -> Result) -> Result {
    factors.withUnsafeBufferPointer { factors in
      guard let base = factors.baseAddress else { preconditionFailure("there are factors") }
      return body(base + starts[block])
    }
  }

  /// Overwrites the upper triangle of `h` with R, `R Rᵀ = h`, from the last column to the first.
  private static func factor(_ h: inout Matrix, _ compute: ComputeContext) {
    let columns = h.columns
    guard let minusOne = Shape([1]).flatMap({ DenseTensor(shape: $0, values: [-1]) }) else {
      preconditionFailure("a scalar is a tensor")
    }
    var last = columns
    while last > 0 {
      let first = (last - 1) / panel * panel
      let width = last - first
      solve(&h, first..<last, threads: compute.threads)
      if first > 0 { subtract(&h, first, width, minusOne, compute) }
      last = first
    }
  }

  /// Columns `range` of R, for all rows above: they depend on what is right of them no more.
  private static func solve(_ h: inout Matrix, _ range: Range<Int>, threads: Int) {
    let columns = h.columns
    h.storage.withMutableElements { h in
      func row(_ i: Int) -> UnsafeMutablePointer<Float> {
        guard let base = h.baseAddress else { preconditionFailure("a matrix has elements") }
        return base + i * columns
      }
      // `R_ij = (h_ij − Σ_{m > j} R_im R_jm) / R_jj`, a row at a time.
      func finish(_ i: Int, _ end: Int) {
        let own = row(i)
        for j in stride(from: range.upperBound - 1, through: end, by: -1) {
          let other = row(j)
          var sum = own[j]
          for m in (j + 1)..<range.upperBound { sum -= own[m] * other[m] }
          // No exact pivot is under the damping; one that rounding put there is lifted again.
          own[j] = i == j ? max(sum, damping / 2).squareRoot() : sum / other[j]
        }
      }
      for i in range.reversed() { finish(i, i) }
      let rows = UncheckedRows(finish: { finish($0, range.lowerBound) })
      let step = 256
      let items = (range.lowerBound + step - 1) / step
      ParallelWork.run(threads: min(threads, max(items, 1)), items: items) { claim in
        while let item = claim() {
          for i in (item * step)..<min((item + 1) * step, range.lowerBound) { rows.finish(i) }
        }
      }
    }
  }

  /// Carries a closure over to the threads of one call.
  private struct UncheckedRows: @unchecked Sendable {
    // Sendable: each row is written by the one thread that claimed it; the others' rows are not read.
    let finish: (Int) -> Void
  }

  /// `h[0..<first, 0..<first] −= R R ᵀ` over the columns `first..<first + width` of R.
  private static func subtract(
    _ h: inout Matrix,
    _ first: Int,
    _ width: Int,
    _ minusOne: DenseTensor,
    _ compute: ComputeContext
  ) {
    let columns = h.columns
    guard let layout = PackedLayout(rows: columns, columns: width, encoding: .f32) else {
      preconditionFailure("a panel has a shape")
    }
    var panel = Matrix(rows: first, columns: width)
    var tiles = AlignedBuffer<Float>(count: layout.byteCount(.codes) / 4)
    h.storage.withElements { h in
      panel.storage.withMutableElements { panel in
        tiles.withMutableElements { tiles in
          for i in 0..<first {
            for m in 0..<width {
              let value = h[i &* columns &+ first &+ m]
              panel[i &* width &+ m] = value
              // Rows of the product that are done stay zero here, and their columns as they are.
              tiles[(i >> 4 &* width &+ m) &* 16 &+ i & 15] = value
            }
          }
        }
      }
    }
    guard let packed = PackedMatrix(layout: layout, codes: ByteSlice(tiles.freeze())) else {
      preconditionFailure("the tiles fill their layout")
    }
    let all = h.rows
    h.resize(rows: first)
    compute.linearAdd(panel, packed, scale: minusOne, into: &h)
    h.resize(rows: all)
  }
}
