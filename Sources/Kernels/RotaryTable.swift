// Cosines and sines of the rotary embedding, computed in Float64 with own polynomials: the C
// library does not promise the same bits everywhere. Grows with the largest position asked for.

/// Cosines and sines `[position][headDim / 2]` of `position · 10000^(−2j/headDim)`.
///
/// As in the reference, the frequency and the angle are rounded to float32 before the cosine.
final class RotaryTable {
  private let frequencies: [Float]
  private var capacity = 0
  private(set) var positions = 0
  private(set) var cosines: UnsafeMutablePointer<Float>
  private(set) var sines: UnsafeMutablePointer<Float>

  init(headDim: Int) {
    frequencies = (0..<(headDim / 2)).map { j in
      // 10000^x = e^(x · ln 10000)
      let exponent = Double(Float(2 * j) / Float(headDim))
      return 1 / Float(PortableMath.exp(exponent * 9.210_340_371_976_184))
    }
    cosines = .allocate(capacity: 1)
    sines = .allocate(capacity: 1)
  }

  deinit {
    cosines.deallocate()
    sines.deallocate()
  }

  /// Makes rows `0..<count` valid; pointers read before the call are not.
  func extend(to count: Int) {
    guard count > positions else { return }
    let half = frequencies.count
    if count > capacity {
      let size = max(256, 2 * capacity, count)
      cosines = Self.grown(cosines, from: positions * half, to: size * half)
      sines = Self.grown(sines, from: positions * half, to: size * half)
      capacity = size
    }
    for position in positions..<count {
      for (j, frequency) in frequencies.enumerated() {
        let angle = Double(Float(position) * frequency)
        cosines[position * half + j] = Float(PortableMath.cos(angle))
        sines[position * half + j] = Float(PortableMath.sin(angle))
      }
    }
    positions = count
  }

  private static func grown(
    _ old: UnsafeMutablePointer<Float>,
    from count: Int,
    to capacity: Int
  ) -> UnsafeMutablePointer<Float> {
    let fresh = UnsafeMutablePointer<Float>.allocate(capacity: max(capacity, 1))
    fresh.update(from: old, count: count)
    old.deallocate()
    return fresh
  }
}
