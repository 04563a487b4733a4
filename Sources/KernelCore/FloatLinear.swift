// Products with float32 and bfloat16 weights: float32 activations, one fused multiply-add per
// product in increasing k, lane = output row.

/// Where the 16 rows of one k lie in a tile.
@usableFromInline
protocol FloatFormat {
  /// Bytes of one k.
  static var bytes: Int { get }
  /// The 16 weights at `p`, widened.
  static func load<L: Lanes>(_: L.Type, _ p: UnsafeRawPointer) -> SIMD16<Float>
}

/// float32 weights.
@usableFromInline
enum Float32Format: FloatFormat {
  @inlinable @inline(__always)
  static var bytes: Int { 64 }
  @inlinable @inline(__always)
  static func load<L: Lanes>(_: L.Type, _ p: UnsafeRawPointer) -> SIMD16<Float> {
    p.loadUnaligned(as: SIMD16<Float>.self)
  }
}

/// bfloat16 weights.
@usableFromInline
enum BFloat16Format: FloatFormat {
  @inlinable @inline(__always)
  static var bytes: Int { 32 }
  @inlinable @inline(__always)
  static func load<L: Lanes>(_: L.Type, _ p: UnsafeRawPointer) -> SIMD16<Float> {
    L.loadBFloat16(p)
  }
}

/// Products of row tiles `lower..<upper` and one token tile into `floats` of the scratch.
@inlinable @inline(__always)
func floatTiles<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ a: LinearArguments,
  _ pass: LinearPass,
  _ lower: Int,
  _ upper: Int
) {
  let x =
    a.activations.assumingMemoryBound(to: Float.self) + pass.first * ((a.columns + 15) / 16) * 16
  for tile in lower..<upper {
    floatTile(
      L.self,
      F.self,
      a.codes + tile * a.tileBytes,
      a.columns,
      x,
      pass.tokens,
      pass.scratch.floats(tile - lower)
    )
  }
}

/// Products of one row tile of `columns` k with `tokens` tokens into `floats [token][16]`.
///
/// Sixteen k at a time stay in registers while tokens pass by.
@inlinable @inline(__always)
func floatTile<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ weights: UnsafeRawPointer,
  _ columns: Int,
  _ activations: UnsafePointer<Float>,
  _ tokens: Int,
  _ floats: UnsafeMutablePointer<Float>
) {
  let whole = columns / 16
  var w = weights
  var x = activations
  for token in 0..<tokens { SIMD16<Float>(repeating: 0).store(floats + token * 16) }
  for _ in 0..<whole {
    var line = 0
    while line < 16 * F.bytes {
      L.prefetch(w + (4096 + line))
      line += 64
    }
    let w0 = F.load(L.self, w)
    let w1 = F.load(L.self, w + F.bytes)
    let w2 = F.load(L.self, w + 2 * F.bytes)
    let w3 = F.load(L.self, w + 3 * F.bytes)
    let w4 = F.load(L.self, w + 4 * F.bytes)
    let w5 = F.load(L.self, w + 5 * F.bytes)
    let w6 = F.load(L.self, w + 6 * F.bytes)
    let w7 = F.load(L.self, w + 7 * F.bytes)
    let w8 = F.load(L.self, w + 8 * F.bytes)
    let w9 = F.load(L.self, w + 9 * F.bytes)
    let w10 = F.load(L.self, w + 10 * F.bytes)
    let w11 = F.load(L.self, w + 11 * F.bytes)
    let w12 = F.load(L.self, w + 12 * F.bytes)
    let w13 = F.load(L.self, w + 13 * F.bytes)
    let w14 = F.load(L.self, w + 14 * F.bytes)
    let w15 = F.load(L.self, w + 15 * F.bytes)
    for token in 0..<tokens {
      let q = x + token * 16
      var sum = SIMD16<Float>.load(floats + token * 16)
      sum = w0.fma(SIMD16(repeating: q[0]), sum)
      sum = w1.fma(SIMD16(repeating: q[1]), sum)
      sum = w2.fma(SIMD16(repeating: q[2]), sum)
      sum = w3.fma(SIMD16(repeating: q[3]), sum)
      sum = w4.fma(SIMD16(repeating: q[4]), sum)
      sum = w5.fma(SIMD16(repeating: q[5]), sum)
      sum = w6.fma(SIMD16(repeating: q[6]), sum)
      sum = w7.fma(SIMD16(repeating: q[7]), sum)
      sum = w8.fma(SIMD16(repeating: q[8]), sum)
      sum = w9.fma(SIMD16(repeating: q[9]), sum)
      sum = w10.fma(SIMD16(repeating: q[10]), sum)
      sum = w11.fma(SIMD16(repeating: q[11]), sum)
      sum = w12.fma(SIMD16(repeating: q[12]), sum)
      sum = w13.fma(SIMD16(repeating: q[13]), sum)
      sum = w14.fma(SIMD16(repeating: q[14]), sum)
      sum = w15.fma(SIMD16(repeating: q[15]), sum)
      sum.store(floats + token * 16)
    }
    w += 16 * F.bytes
    x += tokens * 16
  }
  for k in 0..<(columns - whole * 16) {
    let weights = F.load(L.self, w + k * F.bytes)
    for token in 0..<tokens {
      let sum = SIMD16<Float>.load(floats + token * 16)
      weights.fma(SIMD16(repeating: x[token * 16 + k]), sum).store(floats + token * 16)
    }
  }
}
