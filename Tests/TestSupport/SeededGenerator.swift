// A small deterministic random source, so that a failing test can be run again from its seed.

/// SplitMix64: uniform 64-bit values from a seed.
///
/// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64

  /// A generator whose sequence depends on `seed` only.
  public init(seed: UInt64) { state = seed }

  /// The next value.
  public mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// Roughly normal values (sum of 12 uniforms), standard deviation `scale`.
  public mutating func normals(_ count: Int, scale: Float = 1) -> [Float] {
    (0..<count).map { _ in
      var sum: Float = -6
      for _ in 0..<12 { sum += Float.random(in: 0..<1, using: &self) }
      return sum * scale
    }
  }
}
