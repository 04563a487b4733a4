// Rounding of weights to the entries of a codebook: the search for the scale of each group, and the
// codes. A lane is a row of a 16-row tile. Products are rounded before they are added, in increasing k.

/// Groups of a 16-row tile that are rounded to a codebook.
public struct RoundingArguments {
  /// `[groups · group]` vectors of 16 rows.
  public var x: UnsafePointer<Float>
  /// Columns of a group, a multiple of 8.
  public var group: Int
  /// Columns that count; those of padding follow.
  public var columns: Int
  /// What a squared error in each column weighs, or `nil` for all the same.
  public var importance: UnsafePointer<Float>?
  /// The 16 entries of the codebook, ascending.
  public var entries: UnsafePointer<Float>
  /// `[16]`: the least position, see `CodebookPosition`, that is given entry i or a later one.
  public var firsts: UnsafePointer<Float>
  /// Values that the largest magnitude of a group is tried at.
  public var targets: UnsafePointer<Float>
  /// Number of targets.
  public var targetCount: Int
  /// `[groups]` vectors: the scales, or what `roundGroups` leaves there.
  public var scales: UnsafeMutablePointer<Float>
  /// Lines of codes as `PackedLayout` arranges them, 8 bytes a column; `nil` when scales are searched.
  public var codes: UnsafeMutableRawPointer?

  /// An argument list.
  public init(
    x: UnsafePointer<Float>,
    group: Int,
    columns: Int,
    importance: UnsafePointer<Float>?,
    entries: UnsafePointer<Float>,
    firsts: UnsafePointer<Float>,
    targets: UnsafePointer<Float>,
    targetCount: Int,
    scales: UnsafeMutablePointer<Float>,
    codes: UnsafeMutableRawPointer?
  ) {
    self.x = x
    self.group = group
    self.columns = columns
    self.importance = importance
    self.entries = entries
    self.firsts = firsts
    self.targets = targets
    self.targetCount = targetCount
    self.scales = scales
    self.codes = codes
  }

  /// Groups whose largest magnitude is below this become zero.
  @inlinable public static var smallest: Float { 1e-15 }

  /// Columns of group `index` that count: all, but for the last groups of a padded row.
  @inlinable @inline(__always)
  func count(_ index: Int) -> Int { max(1, min(group, columns - index * group)) }
}

/// Where a value lies among the entries of a codebook: the cell of width one half, as the float32 whose
/// low bits are the number of the cell.
///
/// Entries are integers, or near enough, so that every boundary between two of them is one of cells.
public enum CodebookPosition {
  /// The position of cell 0: adding it rounds a float32 to an integer.
  @inlinable public static var origin: Float { 12_582_912 }

  /// Positions of `x · twice / 2`.
  @inlinable @inline(__always)
  static func of(_ x: SIMD16<Float>, _ twice: SIMD16<Float>) -> SIMD16<Float> {
    (x * twice + SIMD16(repeating: -0.5)) + SIMD16(repeating: origin)
  }
}

/// Scales of groups `lower..<upper`: of those tried, each group's with the least squared error when codes are
/// nearest, then once more the best for these codes; 0 where a group is zero.
///
/// With nearest entries `q`, the best scale is `Σxq / Σq²` and takes `(Σxq)² / Σq²` from the error.
@inlinable @inline(__always)
public func findScales<L: Lanes>(_: L.Type, _ a: RoundingArguments, _ lower: Int, _ upper: Int) {
  typealias V = SIMD16<Float>
  let zero = V(repeating: 0)
  let one = V(repeating: 1)
  let smallest = V(repeating: RoundingArguments.smallest)
  for index in lower..<upper {
    let count = a.count(index)
    let x = a.x + index * a.group * 16
    let importance = a.importance.map { $0 + index * a.group }
    var low = V.load(x)
    var high = low
    for k in 1..<count {
      let value = V.load(x + k * 16)
      low = L.min(value, low)
      high = L.max(value, high)
    }
    let extremes = L.select(zero, above: low + high, low, high)
    let magnitudes = extremes.magnitudes
    var best = zero
    var score = V(repeating: -1)
    for target in 0..<a.targetCount {
      let inverse = V(repeating: a.targets[target]) / extremes
      let fit = correlate(
        L.self,
        a,
        x,
        count,
        importance,
        L.select(smallest, above: magnitudes, zero, inverse)
      )
      let scale = fit.correlation / fit.energy
      let gain = L.select(
        fit.energy,
        above: zero,
        fit.correlation * fit.correlation / fit.energy,
        V(repeating: -1)
      )
      best = L.select(gain, above: score, scale, best)
      score = L.select(gain, above: score, gain, score)
    }
    best = L.select(smallest, above: magnitudes, zero, best)
    let inverse = L.select(best.magnitudes, above: zero, one / best, zero)
    let fit = correlate(L.self, a, x, count, importance, inverse)
    let refined = L.select(fit.energy, above: zero, fit.correlation / fit.energy, best)
    L.select(best.magnitudes, above: zero, refined, best).store(a.scales + index * 16)
  }
}

/// `Σ x q` and `Σ q²` over `count` columns, each with its weight, for the entries `q` that are nearest to `x · inverse`.
@inlinable @inline(__always)
func correlate<L: Lanes>(
  _: L.Type,
  _ a: RoundingArguments,
  _ x: UnsafePointer<Float>,
  _ count: Int,
  _ importance: UnsafePointer<Float>?,
  _ inverse: SIMD16<Float>
) -> (correlation: SIMD16<Float>, energy: SIMD16<Float>) {
  typealias V = SIMD16<Float>
  let entries = V.load(a.entries)
  let firsts = V.load(a.firsts)
  let twice = inverse + inverse
  var correlation = V(repeating: 0)
  var energy = V(repeating: 0)
  if let importance {
    for k in 0..<count {
      let value = V.load(x + k * 16)
      let q = L.nearest(CodebookPosition.of(value, twice), entries, firsts)
      let weighted = q * V(repeating: importance[k])
      correlation += value * weighted
      energy += q * weighted
    }
  } else {
    for k in 0..<count {
      let value = V.load(x + k * 16)
      let q = L.nearest(CodebookPosition.of(value, twice), entries, firsts)
      correlation += value * q
      energy += q * q
    }
  }
  return (correlation, energy)
}

/// Writes the nearest codes of groups `lower..<upper` for their scales, and in place of each scale
/// `Σ (x − scale · q)²` over the columns that count.
@inlinable @inline(__always)
public func roundGroups<L: Lanes>(_: L.Type, _ a: RoundingArguments, _ lower: Int, _ upper: Int) {
  typealias V = SIMD16<Float>
  guard let codes = a.codes else { return }
  let zero = V(repeating: 0)
  let one = V(repeating: 1)
  let entries = V.load(a.entries)
  let firsts = V.load(a.firsts)
  for index in lower..<upper {
    let count = a.count(index)
    let scale = V.load(a.scales + index * 16)
    let inverse = L.select(scale.magnitudes, above: zero, one / scale, zero)
    let twice = inverse + inverse
    var error = zero
    for line in 0..<(a.group / 8) {
      let x = a.x + (index * a.group + line * 8) * 16
      let left = count - line * 8
      var word = SIMD16<UInt32>(repeating: 0)
      for byte in 0..<4 {
        let low = V.load(x + byte * 16)
        let high = V.load(x + (byte + 4) * 16)
        let lowPosition = CodebookPosition.of(low, twice)
        let highPosition = CodebookPosition.of(high, twice)
        let lowError = low - L.nearest(lowPosition, entries, firsts) * scale
        let highError = high - L.nearest(highPosition, entries, firsts) * scale
        if byte < left { error += lowError * lowError }
        if byte + 4 < left { error += highError * highError }
        let pair =
          L.nearestCode(lowPosition, firsts) | (L.nearestCode(highPosition, firsts) &<< 4)
        word |= pair &<< UInt32(truncatingIfNeeded: 8 * byte)
      }
      codes.storeBytes(
        of: word,
        toByteOffset: (index * a.group + line * 8) * 8,
        as: SIMD16<UInt32>.self
      )
    }
    error.store(a.scales + index * 16)
  }
}
