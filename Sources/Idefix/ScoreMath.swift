// exp, log and log-softmax of scores from IEEE additions and multiplications alone, so that a sampled token is
// the same on every machine. Refuses libm, whose last digit differs between machines.

/// Elementary functions in double precision that give the same bits everywhere.
package enum ScoreMath {
  private static let log2e = 1.442_695_040_888_963_4
  /// ln 2 in two parts: multiples of the first up to 2¹¹ are exact.
  private static let ln2High = 6.931_471_803_691_238e-01
  private static let ln2Low = 1.908_214_929_270_587_7e-10

  /// `eˣ`, relative error below 1e-15; 0 below -708 and infinite above 709.
  package static func exp(_ x: Double) -> Double {
    guard x > -708 else { return x.isNaN ? x : 0 }
    guard x < 709 else { return .infinity }
    let k = (x * log2e).rounded()
    let r = (x - k * ln2High) - k * ln2Low
    // Taylor series; |r| ≤ ln 2 / 2, so the first term left out is below 2e-18.
    var sum = 1.0
    for n in stride(from: 14.0, through: 1, by: -1) { sum = 1 + sum * r / n }
    return sum * Double(sign: .plus, exponent: Int(k), significand: 1)
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

  /// `ln Σ exp(scores)`, summed in index order; negative infinity if every score is.
  package static func logSumExp(_ scores: [Float]) -> Double {
    let largest = Double(scores.max() ?? -.infinity)
    guard largest > -.infinity else { return -.infinity }
    var sum = 0.0
    for score in scores where score > -.infinity { sum += exp(Double(score) - largest) }
    return largest + log(sum)
  }
}
