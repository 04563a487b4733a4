// Scalar functions for constants that are computed once: tables and gates. Float64 polynomials with
// one fixed order of plain operations, so that every machine gives the same bits.

/// Elementary functions with the same bits on every machine.
public enum PortableMath {
  /// `e^x`, relative error below 1e-15 for |x| ≤ 700; larger arguments are clamped.
  public static func exp(_ x: Double) -> Double {
    guard !x.isNaN else { return x }
    let clamped = min(max(x, -700), 700)
    let n = (clamped * 1.442_695_040_888_963_4).rounded()
    // ln 2 in two parts, the first short enough that n times it is exact.
    let r = (clamped - n * 0.693_147_180_369_123_8) - n * 1.908_214_929_270_587_7e-10
    // Taylor series; |r| ≤ 0.3466, so term 18 is below 1e-24.
    var sum = 1.0
    for index in stride(from: 17.0, through: 1.0, by: -1.0) { sum = 1 + sum * r / index }
    return sum * Double(sign: .plus, exponent: Int(n), significand: 1)
  }

  /// Hyperbolic tangent, relative error below 1e-7.
  public static func tanh(_ x: Float) -> Float {
    let magnitude = Double(x.magnitude)
    guard magnitude > 0, magnitude < 20 else { return x.isNaN || x == 0 ? x : (x < 0 ? -1 : 1) }
    let value: Double
    if magnitude < 1e-3 {
      value = magnitude * (1 - magnitude * magnitude / 3)
    } else {
      let e = exp(2 * magnitude)
      value = (e - 1) / (e + 1)
    }
    return Float(x < 0 ? -value : value)
  }

  /// Sine, absolute error below 1e-13 for |x| < 2^25.
  public static func sin(_ x: Double) -> Double {
    let (quadrant, r) = reduced(x)
    let value = quadrant & 1 == 0 ? sinPolynomial(r) : cosPolynomial(r)
    return quadrant & 2 == 0 ? value : -value
  }

  /// Cosine, absolute error below 1e-13 for |x| < 2^25.
  public static func cos(_ x: Double) -> Double {
    let (quadrant, r) = reduced(x)
    let value = quadrant & 1 == 0 ? cosPolynomial(r) : sinPolynomial(r)
    return (quadrant + 1) & 2 == 0 ? value : -value
  }

  /// `x = quadrant · π/2 + r`, |r| ≤ π/4; π/2 in three parts of 33, 33 and 53 bits.
  private static func reduced(_ x: Double) -> (quadrant: Int, remainder: Double) {
    let n = (x * 0.636_619_772_367_581_4).rounded()
    var r = x - n * 1.570_796_326_734_125_6
    r -= n * 6.077_100_506_303_966e-11
    r -= n * 2.022_266_248_795_950_6e-21
    return (Int(n) & 3, r)
  }

  private static func sinPolynomial(_ r: Double) -> Double {
    let square = r * r
    var sum = 1.0
    for index in stride(from: 18.0, through: 2.0, by: -2.0) {
      sum = 1 - sum * square / (index * (index + 1))
    }
    return sum * r
  }

  private static func cosPolynomial(_ r: Double) -> Double {
    let square = r * r
    var sum = 1.0
    for index in stride(from: 17.0, through: 1.0, by: -2.0) {
      sum = 1 - sum * square / (index * (index + 1))
    }
    return sum
  }
}
