// The search for the scales of 4-bit groups: for each of 16 rows, the scale that, with nearest codes,
// leaves the least squared error in a group. Works on 16 rows at once, one vector a column; multiplies
// and adds only, in a fixed order, so every machine finds the same scales.

import Tensors

/// Scale search in groups of one tile, for one codebook.
struct GroupSearch {
  /// Groups whose largest magnitude is below this become zero.
  static let smallest: Float = 1e-15
  /// Squared norm beyond which (or when NaN) a group cannot hold weights.
  static let largestEnergy: Float = 1e30

  /// Nearest-entry tables.
  let table: CodebookTable
  /// Factors on the scale that maps the largest magnitude of a group onto the far end of the codebook.
  let factors: [Float]
  /// Factors on the scale that maps it onto the near end, with the codebook turned around.
  let oppositeFactors: [Float]

  /// What was measured for a candidate scale.
  struct Fit {
    /// `Σ x q`, with `q` the nearest entries.
    var correlation: Lanes
    /// `Σ q²`.
    var energy: Lanes
  }

  /// A search in groups of `group` columns over six or seven scales each.
  ///
  /// The factors were chosen greedily on normal and Student-t weights; they come within 2 % of the
  /// error that thirty leave.
  init(table: CodebookTable, group: Int) {
    self.table = table
    factors = group < 32 ? [1.02, 0.82, 0.98] : [1.02, 0.94, 1.1, 0.82, 0.98]
    oppositeFactors = group < 32 ? [1.02, 0.98, 0.74] : [1.02, 0.98]
  }

  /// Assigns nearest entries for `1 / scale = inverse` and correlates, every column with its weight.
  @inline(__always)
  static func fit(
    _ x: UnsafePointer<Lanes>,
    _ count: Int,
    _ inverse: Lanes,
    _ values: UnsafePointer<Float>,
    weights: UnsafePointer<Float>
  ) -> Fit {
    let twice = inverse + inverse
    let shift = Lanes(repeating: -0.5)
    let rounding = Lanes(repeating: CodebookTable.rounding)
    var correlation = Lanes()
    var energy = Lanes()
    for k in 0..<count {
      let q = CodebookTable.lookUp((x[k] * twice + shift) + rounding, in: values)
      let weighted = q * weights[k]
      correlation += x[k] * weighted
      energy += q * weighted
    }
    return Fit(correlation: correlation, energy: energy)
  }

  /// Assigns nearest entries for `1 / scale = inverse` and correlates.
  @inline(__always)
  static func fit(
    _ x: UnsafePointer<Lanes>,
    _ count: Int,
    _ inverse: Lanes,
    _ values: UnsafePointer<Float>
  ) -> Fit {
    let twice = inverse + inverse
    let shift = Lanes(repeating: -0.5)
    let rounding = Lanes(repeating: CodebookTable.rounding)
    var correlation = Lanes()
    var energy = Lanes()
    for k in 0..<count {
      let q = CodebookTable.lookUp((x[k] * twice + shift) + rounding, in: values)
      correlation += x[k] * q
      energy += q * q
    }
    return Fit(correlation: correlation, energy: energy)
  }

  /// The best real scale of every row for the group at `x`; 0 where the group is zero.
  ///
  /// `count` is the number of columns that count: those of padding do not. `weights` are what their
  /// errors weigh, `nil` for all the same.
  /// With nearest codes `q`, the best scale is `Σxq / Σq²` and removes `(Σxq)² / Σq²` from the error.
  func bestScales(
    _ x: UnsafePointer<Lanes>,
    count: Int,
    weights: UnsafePointer<Float>? = nil
  ) -> Lanes {
    let extremes = Self.extremes(x, count)
    let first = table.entries[0]
    let last = table.entries[15]
    let (far, near) = abs(first) >= abs(last) ? (first, last) : (last, first)
    return table.values.withUnsafeBufferPointer { buffer -> Lanes in
      guard let values = buffer.baseAddress else { return Lanes() }
      @inline(__always)
      func fit(_ inverse: Lanes) -> Fit {
        if let weights { return Self.fit(x, count, inverse, values, weights: weights) }
        return Self.fit(x, count, inverse, values)
      }
      var best = Lanes()
      var score = Lanes(repeating: -1)
      for (end, factors) in [(far, factors), (near, oppositeFactors)] {
        for factor in factors {
          var inverse = Lanes()
          for lane in 0..<16 {
            inverse[lane] =
              abs(extremes[lane]) >= Self.smallest ? end * factor / extremes[lane] : 0
          }
          let fit = fit(inverse)
          for lane in 0..<16 where fit.energy[lane] > 0 {
            let gain = fit.correlation[lane] * fit.correlation[lane] / fit.energy[lane]
            if gain > score[lane] {
              score[lane] = gain
              best[lane] = fit.correlation[lane] / fit.energy[lane]
            }
          }
        }
      }
      // One more round from the best: new codes for its scale, a new scale for those codes.
      var inverse = Lanes()
      for lane in 0..<16 {
        let isZero = abs(extremes[lane]) < Self.smallest
        if isZero { best[lane] = 0 }
        inverse[lane] = best[lane] != 0 ? 1 / best[lane] : 0
      }
      let fit = fit(inverse)
      for lane in 0..<16 where fit.energy[lane] > 0 && best[lane] != 0 {
        best[lane] = fit.correlation[lane] / fit.energy[lane]
      }
      return best
    }
  }

  /// As above, for the group that begins with column `column`; `importance` has what every column of
  /// the matrix weighs.
  func bestScales(
    _ x: UnsafePointer<Lanes>,
    count: Int,
    importance: [Float]?,
    at column: Int
  ) -> Lanes {
    guard let importance else { return bestScales(x, count: count) }
    return importance.withUnsafeBufferPointer { weights in
      bestScales(x, count: count, weights: weights.baseAddress.map { $0 + column })
    }
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
