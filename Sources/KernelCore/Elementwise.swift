// Operations without reductions: rotary embedding, gates, activation functions, residual addition.

/// Rotates the heads of rows `lower..<upper`: with h = headDim / 2 and j < h,
/// `x[j] ← x[j]·cos − x[j+h]·sin`, `x[j+h] ← x[j+h]·cos + x[j]·sin`, each product rounded.
@inlinable @inline(__always)
public func rotate<L: Lanes>(_: L.Type, _ a: RotaryArguments, _ lower: Int, _ upper: Int) {
  typealias V = SIMD16<Float>
  let half = a.headDim / 2
  for row in lower..<upper {
    let cosines = a.cosines + Int(a.positions[row]) * half
    let sines = a.sines + Int(a.positions[row]) * half
    for head in 0..<a.heads {
      let x = a.x + row * a.stride + head * a.headDim
      var j = 0
      while j < half {
        let count = half - j
        let c = V.load(cosines + j, count: count)
        let s = V.load(sines + j, count: count)
        let low = V.load(x + j, count: count)
        let high = V.load(x + half + j, count: count)
        (low * c - high * s).store(x + j, count: count)
        (high * c + low * s).store(x + half + j, count: count)
        j += 16
      }
    }
  }
}

/// `y[t, j] = silu(x[t, j]) · x[t, width + j]` for rows `lower..<upper`; `x` has `2·width` columns.
@inlinable @inline(__always)
public func siluGate<L: Lanes>(
  _: L.Type,
  _ x: UnsafePointer<Float>,
  _ y: UnsafeMutablePointer<Float>,
  _ width: Int,
  _ lower: Int,
  _ upper: Int
) {
  typealias V = SIMD16<Float>
  for row in lower..<upper {
    let gate = x + row * 2 * width
    var j = 0
    while j < width {
      let g = V.load(gate + j, count: width - j)
      let up = V.load(gate + width + j, count: width - j)
      (g * Transcendentals.sigmoid(L.self, g) * up)
        .store(y + row * width + j, count: width - j)
      j += 16
    }
  }
}

/// Activation functions by number, so that the table of kernels stays free of enums with payloads.
public enum ActivationKind: UInt8, Sendable {
  /// Exact Gaussian error linear unit.
  case gelu
  /// `x · σ(1.702 x)`.
  case quickGelu
  /// `max(x, 0)`.
  case relu
  /// `x · σ(x)`.
  case silu
}

/// An activation function of each lane.
@inlinable @inline(__always)
func activated<L: Lanes>(
  _: L.Type,
  _ kind: ActivationKind,
  _ v: SIMD16<Float>
) -> SIMD16<Float> {
  switch kind {
  case .gelu: Transcendentals.gelu(L.self, v)
  case .quickGelu:
    v * Transcendentals.sigmoid(L.self, v * SIMD16<Float>(repeating: 1.702))
  case .relu: L.max(SIMD16<Float>(repeating: 0), v)
  case .silu: v * Transcendentals.sigmoid(L.self, v)
  }
}

/// `y += x` over elements `lower..<upper`.
@inlinable @inline(__always)
public func addInto<L: Lanes>(
  _: L.Type,
  _ x: UnsafePointer<Float>,
  _ y: UnsafeMutablePointer<Float>,
  _ lower: Int,
  _ upper: Int
) {
  typealias V = SIMD16<Float>
  var j = lower
  while j < upper {
    let count = upper - j
    (V.load(y + j, count: count) + V.load(x + j, count: count)).store(y + j, count: count)
    j += 16
  }
}
