// exp and the functions built on it, as polynomials evaluated with fused multiply-adds: the same
// bits on every machine, which the C library does not promise. Used by softmax and activations.

/// Float32 functions on 16 lanes.
public enum Transcendentals {
  /// `e^x`, relative error below 2e-7; arguments are clamped to −87.3…88.3, NaN stays NaN.
  ///
  /// `x = n·ln 2 + r` with ln 2 in two parts, `e^r` by its Taylor polynomial of degree 7 on
  /// |r| ≤ 0.347, then `n` is added to the exponent bits.
  @inlinable @inline(__always)
  public static func exp<L: Lanes>(_: L.Type, _ argument: SIMD16<Float>) -> SIMD16<Float> {
    typealias V = SIMD16<Float>
    let x = L.min(V(repeating: 88.3), L.max(V(repeating: -87.3), argument))
    // Adding 1.5·2^23 rounds to an integer and leaves it in the low bits.
    let magic = V(repeating: 12_582_912)
    let shifted = x.fma(V(repeating: 1.442_695_04), magic)
    let n = shifted - magic
    var r = n.fma(V(repeating: -0.693_359_375), x)
    r = n.fma(V(repeating: 2.121_944_4e-4), r)
    var p = V(repeating: 1.984_126_98e-4)
    p = p.fma(r, V(repeating: 1.388_888_89e-3))
    p = p.fma(r, V(repeating: 8.333_333_33e-3))
    p = p.fma(r, V(repeating: 4.166_666_67e-2))
    p = p.fma(r, V(repeating: 1.666_666_67e-1))
    p = p.fma(r, V(repeating: 0.5))
    p = p.fma(r, V(repeating: 1))
    p = p.fma(r, V(repeating: 1))
    let exponent = unsafeBitCast(shifted, to: SIMD16<UInt32>.self) &<< 23
    return unsafeBitCast(unsafeBitCast(p, to: SIMD16<UInt32>.self) &+ exponent, to: V.self)
  }

  /// Logistic function `1 / (1 + e^−x)`.
  @inlinable @inline(__always)
  public static func sigmoid<L: Lanes>(_: L.Type, _ x: SIMD16<Float>) -> SIMD16<Float> {
    let one = SIMD16<Float>(repeating: 1)
    return one / (one + exp(L.self, SIMD16<Float>(repeating: 0) - x))
  }

  /// `½·x·(1 + erf(x/√2))`, absolute error below 3e-7·max(1, |x|).
  ///
  /// Written `max(x, 0) − ½·|x|·erfc(|x|/√2)`, which does not cancel, with
  /// `erfc(z) = t·e^(−z² + p(t))`, `t = 1/(1 + z/2)` and p a Chebyshev fit of degree 9, error 5e-8.
  @inlinable @inline(__always)
  public static func gelu<L: Lanes>(_: L.Type, _ x: SIMD16<Float>) -> SIMD16<Float> {
    typealias V = SIMD16<Float>
    let magnitude = x.magnitudes
    let one = V(repeating: 1)
    let t = one / magnitude.fma(V(repeating: 0.353_553_39), one)
    var p = V(repeating: 0.148_046_054)
    p = p.fma(t, V(repeating: -0.697_536_591))
    p = p.fma(t, V(repeating: 1.195_327_67))
    p = p.fma(t, V(repeating: -0.746_469_895))
    p = p.fma(t, V(repeating: -0.039_866_317_6))
    p = p.fma(t, V(repeating: -0.019_508_003_5))
    p = p.fma(t, V(repeating: 0.041_395_964_2))
    p = p.fma(t, V(repeating: 0.385_283_634))
    p = p.fma(t, V(repeating: 0.998_782_460))
    p = p.fma(t, V(repeating: -1.265_454_93))
    let half = V(repeating: 0.5) * magnitude
    let tail = t * exp(L.self, p - half * magnitude)
    return L.max(V(repeating: 0), x) - half * tail
  }
}
