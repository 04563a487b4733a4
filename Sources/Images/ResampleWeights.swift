// The weights of Pillow's bicubic filter along one axis, packed for the resize loop. Owns the
// filter's arithmetic, which is double precision until the weights are rounded to 22 bits.

/// Fixed-point weights from `input` samples to `output` samples.
///
/// A weight `w` of 23 signed bits is kept as `w = high * 2^11 + low` with both parts in 16 bits, so
/// that a product with a sample needs only a 16-bit multiply. Sums wrap modulo 2^32, and the whole
/// sum fits 32 bits (a weight sum is at most about 1.4 * 2^22 in magnitude, a sample 255), so the
/// result is exact whatever the parts do.
struct ResampleWeights {
  /// Where an output sample finds its inputs and weights, in vectors of 8.
  struct Window {
    /// First input vector.
    let first: Int
    /// Input vectors.
    let count: Int
    /// First pair of weight vectors.
    let weights: Int
  }

  /// `[output]`.
  private(set) var windows: [Window] = []
  /// Pairs (high, low) of weight vectors; positions outside the filter's support are 0.
  private(set) var vectors: [SIMD8<Int16>] = []

  /// Weights for resampling `input` samples to `output`.
  init(from input: Int, to output: Int) {
    let scale = Double(input) / Double(output)
    let filterScale = max(scale, 1)
    let support = 2 * filterScale
    windows.reserveCapacity(output)
    for index in 0..<output {
      let center = (Double(index) + 0.5) * scale
      let low = max(Int(center - support + 0.5), 0)
      let high = min(Int(center + support + 0.5), input)
      var weights = (low..<high).map { sample in
        Self.cubic((Double(sample) - center + 0.5) * (1 / filterScale))
      }
      let sum = weights.reduce(0, +)
      if sum != 0 { weights = weights.map { $0 * (1 / sum) } }
      append(weights.map(Self.fixedPoint), at: low)
    }
  }

  /// Adds an output sample whose inputs begin at `low`.
  private mutating func append(_ weights: [Int32], at low: Int) {
    let first = low / 8
    let count = (low + weights.count + 7) / 8 - first
    windows.append(Window(first: first, count: count, weights: vectors.count / 2))
    for vector in first..<first + count {
      var upper = SIMD8<Int16>.zero
      var lower = SIMD8<Int16>.zero
      for lane in 0..<8 {
        let index = vector * 8 + lane - low
        guard weights.indices.contains(index) else { continue }
        upper[lane] = Int16(weights[index] >> 11)
        lower[lane] = Int16(weights[index] & 0x7ff)
      }
      vectors.append(upper)
      vectors.append(lower)
    }
  }

  /// The Catmull-Rom cubic (a = -1/2) at `x`.
  private static func cubic(_ x: Double) -> Double {
    let x = abs(x)
    let a = -0.5
    if x < 1 { return ((a + 2) * x - (a + 3)) * x * x + 1 }
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0
  }

  /// `weight` with 22 fractional bits, rounded half away from zero.
  private static func fixedPoint(_ weight: Double) -> Int32 {
    Int32(weight * Double(1 << 22) + (weight < 0 ? -0.5 : 0.5))
  }

  /// A weighted sum, spread over four lanes, as a sample.
  static func round(_ sum: SIMD4<Int32>) -> UInt8 {
    UInt8(clamping: (sum.wrappedSum() &+ (1 << 21)) >> 22)
  }
}
