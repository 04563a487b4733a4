// Root-mean-square and layer normalisation of rows or heads. Sums run over 16 interleaved partial
// sums and one fixed tree, so that they do not depend on the width of the machine.

/// Normalises vectors `lower..<upper`; vector v is number `v % perRow` of row `v / perRow`.
///
/// Without bias `y = weight · (x / √(mean(x²) + ε))`; with bias
/// `y = (x − mean) / √(mean((x − mean)²) + ε) · weight + bias`.
@inlinable @inline(__always)
public func normalize<L: Lanes>(_: L.Type, _ a: NormArguments, _ lower: Int, _ upper: Int) {
  typealias V = SIMD16<Float>
  let width = Float(a.width)
  for vector in lower..<upper {
    let x = a.x + vector / a.perRow * a.xStride + vector % a.perRow * a.width
    let y = a.y + vector / a.perRow * a.yStride + vector % a.perRow * a.width
    if let bias = a.bias {
      var sum = V(repeating: 0)
      var k = 0
      while k < a.width {
        sum = sum + V.load(x + k, count: a.width - k)
        k += 16
      }
      let mean = V(repeating: sum.horizontalSum / width)
      var squares = V(repeating: 0)
      k = 0
      while k < a.width {
        let centred = V.load(x + k, count: a.width - k) - mean
        // Lanes beyond the vector would add mean².
        let part = a.width - k < 16 ? centred.prefix(a.width - k) : centred
        squares = part.fma(part, squares)
        k += 16
      }
      let factor = V(repeating: 1 / (squares.horizontalSum / width + a.epsilon).squareRoot())
      k = 0
      while k < a.width {
        let count = a.width - k
        let centred = V.load(x + k, count: count) - mean
        let scaled = (centred * factor).fma(
          V.load(a.weight + k, count: count),
          V.load(bias + k, count: count)
        )
        scaled.store(y + k, count: count)
        k += 16
      }
    } else {
      var squares = V(repeating: 0)
      var k = 0
      while k < a.width {
        let value = V.load(x + k, count: a.width - k)
        squares = value.fma(value, squares)
        k += 16
      }
      let factor = V(repeating: 1 / (squares.horizontalSum / width + a.epsilon).squareRoot())
      k = 0
      while k < a.width {
        let count = a.width - k
        let scaled = V.load(a.weight + k, count: count) * (V.load(x + k, count: count) * factor)
        scaled.store(y + k, count: count)
        k += 16
      }
    }
  }
}

extension SIMD16 where Scalar == Float {
  /// The first `count` lanes, zeros after them.
  @inlinable @inline(__always)
  func prefix(_ count: Int) -> Self {
    var v = Self(repeating: 0)
    for lane in 0..<count { v[lane] = self[lane] }
    return v
  }
}
