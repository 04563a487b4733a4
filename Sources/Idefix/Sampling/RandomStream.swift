// Random numbers by counter: the value at a place depends on seed, answer and place only, so that a request
// draws the same numbers alone or in a batch, after a preemption, and when drafted tokens are verified.

/// Uniform numbers addressed by position.
package struct RandomStream: Sendable {
  private let key: UInt64

  /// The stream of one answer of a request.
  package init(seed: UInt64, sequence: Int) {
    key = Self.mix(Self.mix(seed &+ 0x9e37_79b9_7f4a_7c15) ^ UInt64(truncatingIfNeeded: sequence))
  }

  /// The number at `position`, uniform in `0..<1` with 53 bits.
  package func uniform(at position: Int) -> Double {
    let word = Self.mix(key &+ 0x9e37_79b9_7f4a_7c15 &* UInt64(truncatingIfNeeded: position &+ 1))
    return Double(word >> 11) * 0x1p-53
  }

  /// SplitMix64's finaliser.
  ///
  /// Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014.
  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
}
