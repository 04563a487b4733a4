// The search for the scales of 4-bit groups: for each of 16 rows, the scale that, with nearest codes,
// leaves the least squared error in a group. Multiplies and adds only, in a fixed order, so every
// machine finds the same scales.

import Kernels
import Tensors

/// Scale search in groups of one tile, for one codebook.
struct GroupSearch: Sendable {
  /// Squared norm beyond which (or when NaN) a group cannot hold weights.
  static let largestEnergy: Float = 1e30

  /// Nearest-entry tables.
  let table: CodebookTable
  /// The kernels, with the scales to try.
  let rounding: CodebookRounding

  /// A search in groups of `group` columns over five or six scales each: those that map the largest
  /// magnitude of a group somewhere near the far end of the codebook, or near the other end, with the
  /// codebook turned around.
  ///
  /// The factors were chosen greedily on normal and Student-t weights; they come within 2 % of the
  /// error that thirty leave.
  init(table: CodebookTable, group: Int, isa: ISA = .best) {
    self.table = table
    let factors: [Float] = group < 32 ? [1.02, 0.82, 0.98] : [1.02, 0.94, 1.1, 0.82, 0.98]
    let oppositeFactors: [Float] = group < 32 ? [1.02, 0.98, 0.74] : [1.02, 0.98]
    let first = table.entries[0]
    let last = table.entries[15]
    let (far, near) = abs(first) >= abs(last) ? (first, last) : (last, first)
    rounding = CodebookRounding(
      isa: isa,
      entries: table.entries,
      firstCells: table.firstCells,
      targets: factors.map { far * $0 } + oppositeFactors.map { near * $0 },
      group: group
    )
  }

  /// The element of largest magnitude of every row, with its sign.
  @inline(__always)
  static func extremes(_ x: UnsafePointer<Lanes>, _ count: Int) -> Lanes {
    var low = x[0]
    var high = x[0]
    for k in 1..<count {
      low.replace(with: x[k], where: x[k] .< low)
      high.replace(with: x[k], where: x[k] .> high)
    }
    var result = high
    result.replace(with: low, where: (low + high) .< Lanes())
    return result
  }

  /// `Σ x²` of every row.
  @inline(__always)
  static func energy(_ x: UnsafePointer<Lanes>, _ count: Int) -> Lanes {
    var sum = Lanes()
    for k in 0..<count { sum += x[k] * x[k] }
    return sum
  }
}
