// exp, log and log-softmax of scores from IEEE additions and multiplications alone, so that a sampled token is
// the same on every machine. Refuses libm, whose last digit differs between machines.

/// Elementary functions in double precision that give the same bits everywhere.
package enum ScoreMath {
  private static let log2e = 1.442_695_040_888_963_4
  /// ln 2 in two parts: multiples of the first up to 2¹¹ are exact.
  private static let ln2High = 6.931_471_803_691_238e-01
  private static let ln2Low = 1.908_214_929_270_587_7e-10

  /// Adding and taking away rounds to the nearest integer, which stays in the low bits of the sum.
  private static let rounding = 0x1.8p52

  /// `eˣ`, relative error below 1e-15; 0 below -708 and infinite above 709.
  package static func exp(_ x: Double) -> Double {
    guard x > -708 else { return x.isNaN ? x : 0 }
    return x < 709 ? bareExp(x) : .infinity
  }

  /// `eˣ` for -708 ≤ x < 709, without a branch.
  @inline(__always)
  private static func bareExp(_ x: Double) -> Double {
    let shifted = x * log2e + rounding
    let k = shifted - rounding
    let r = (x - k * ln2High) - k * ln2Low
    // Taylor series; |r| ≤ ln 2 / 2, so the first term left out is below 1e-17.
    var sum = 1 / 6_227_020_800.0
    sum = sum * r + 1 / 479_001_600.0
    sum = sum * r + 1 / 39_916_800.0
    sum = sum * r + 1 / 3_628_800.0
    sum = sum * r + 1 / 362_880.0
    sum = sum * r + 1 / 40_320.0
    sum = sum * r + 1 / 5_040.0
    sum = sum * r + 1 / 720.0
    sum = sum * r + 1 / 120.0
    sum = sum * r + 1 / 24.0
    sum = sum * r + 1 / 6.0
    sum = sum * r + 0.5
    sum = sum * r + 1
    sum = sum * r + 1
    return sum * Double(bitPattern: (shifted.bitPattern &+ 1023) << 52)
  }

  /// `ln x`, relative error below 1e-15; negative infinity at 0, NaN below.
  package static func log(_ x: Double) -> Double {
    guard x > 0 else { return x == 0 ? -.infinity : .nan }
    guard x < .infinity else { return x }
    var exponent = Double(x.exponent)
    var mantissa = x.significand
    if mantissa > 1.414_213_562_373_095_1 {
      mantissa /= 2
      exponent += 1
    }
    // ln m = 2 artanh s; |s| ≤ 0.172, so the first term left out is below 1e-18.
    let s = (mantissa - 1) / (mantissa + 1)
    let square = s * s
    var sum = 0.0
    for n in stride(from: 23.0, through: 1, by: -2) { sum = sum * square + 1 / n }
    return exponent * ln2High + (exponent * ln2Low + 2 * s * sum)
  }

  /// `ln Σ exp(scores)`; negative infinity if every score is.
  ///
  /// Four partial sums, of every fourth score each, so that additions do not wait for each other.
  package static func logSumExp(_ scores: [Float]) -> Double {
    let largest = Double(scores.max() ?? -.infinity)
    guard largest > -.infinity else { return -.infinity }
    var sums = SIMD4<Double>()
    var index = 0
    while index + 4 <= scores.count {
      for lane in 0..<4 {
        // Terms this small do not change the sum.
        sums[lane] += bareExp(max(Double(scores[index + lane]) - largest, -708))
      }
      index += 4
    }
    while index < scores.count {
      sums[0] += bareExp(max(Double(scores[index]) - largest, -708))
      index += 1
    }
    return largest + log((sums[0] + sums[1]) + (sums[2] + sums[3]))
  }
}
