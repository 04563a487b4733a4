// Products with float32 and bfloat16 weights: float32 activations, one fused multiply-add per
// product in increasing k, lane = output row.

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
  var tile = lower
  while tile < upper {
    let isPair = L.holdsSixteenRows && pass.tokens > 1 && tile + 2 <= upper
    if isPair {
      floatTile(L.self, F.self, a, tile, 2, x, pass.tokens, pass.scratch, tile - lower)
    } else {
      floatTile(L.self, F.self, a, tile, 1, x, pass.tokens, pass.scratch, tile - lower)
    }
    tile += isPair ? 2 : 1
  }
}

/// Products of one row tile, or two, from `tile` on with `tokens` tokens into floats `[token][16]` from number `index` on.
///
/// Several k stay in registers while tokens pass by; an activation is read once for both row tiles.
@inlinable @inline(__always)
func floatTile<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ a: LinearArguments,
  _ tile: Int,
  _ tiles: Int,
  _ activations: UnsafePointer<Float>,
  _ tokens: Int,
  _ scratch: LinearScratch,
  _ index: Int
) {
  typealias V = SIMD16<Float>
  let first = scratch.floats(index)
  let second = scratch.floats(index + tiles - 1)
  // What passes once comes from memory, what passes with more tokens from the second-level cache.
  let distance = tiles == 1 ? 4096 : 2048
  var w = a.codes + tile * a.tileBytes
  var x = activations
  for place in 0..<tiles {
    let floats = scratch.floats(index + place)
    for token in 0..<tokens { V(repeating: 0).store(floats + token * 16) }
  }
  for _ in 0..<(a.columns / 16) {
    for place in 0..<tiles {
      var line = 0
      while line < 16 * F.bytes {
        L.prefetch(w + (place * a.tileBytes + distance + line))
        line += 64
      }
    }
    if tiles == 2 {
      multiplyRowPairs(L.self, F.self, w, w + a.tileBytes, F.bytes, x, tokens, first, second)
    } else {
      multiplyRows(L.self, F.self, w, F.bytes, x, tokens, first)
    }
    w += 16 * F.bytes
    x += tokens * 16
  }
  for place in 0..<tiles {
    let floats = scratch.floats(index + place)
    for k in 0..<(a.columns % 16) {
      let row = F.load(L.self, w + (place * a.tileBytes + k * F.bytes))
      for token in 0..<tokens {
        let sum = V.load(floats + token * 16)
        row.fma(V(repeating: x[token * 16 + k]), sum).store(floats + token * 16)
      }
    }
  }
}

/// `multiplyRows` for sixteen rows at each of two places, which are multiplied with the same factors: these are read
/// once for both.
@inlinable @inline(__always)
func multiplyRowPairs<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ rows: UnsafeRawPointer,
  _ others: UnsafeRawPointer,
  _ stride: Int,
  _ factors: UnsafePointer<Float>,
  _ n: Int,
  _ first: UnsafeMutablePointer<Float>,
  _ second: UnsafeMutablePointer<Float>
) {
  for half in 0..<2 {
    let start = half * 8 * stride
    multiplyEightRowPairs(
      L.self,
      F.self,
      rows + start,
      others + start,
      stride,
      factors + half * 8,
      n,
      first,
      second
    )
  }
}

@inlinable @inline(__always)
func multiplyEightRowPairs<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ rows: UnsafeRawPointer,
  _ others: UnsafeRawPointer,
  _ stride: Int,
  _ factors: UnsafePointer<Float>,
  _ n: Int,
  _ first: UnsafeMutablePointer<Float>,
  _ second: UnsafeMutablePointer<Float>
) {
  typealias V = SIMD16<Float>
  let r0 = F.load(L.self, rows)
  let r1 = F.load(L.self, rows + stride)
  let r2 = F.load(L.self, rows + 2 * stride)
  let r3 = F.load(L.self, rows + 3 * stride)
  let r4 = F.load(L.self, rows + 4 * stride)
  let r5 = F.load(L.self, rows + 5 * stride)
  let r6 = F.load(L.self, rows + 6 * stride)
  let r7 = F.load(L.self, rows + 7 * stride)
  let o0 = F.load(L.self, others)
  let o1 = F.load(L.self, others + stride)
  let o2 = F.load(L.self, others + 2 * stride)
  let o3 = F.load(L.self, others + 3 * stride)
  let o4 = F.load(L.self, others + 4 * stride)
  let o5 = F.load(L.self, others + 5 * stride)
  let o6 = F.load(L.self, others + 6 * stride)
  let o7 = F.load(L.self, others + 7 * stride)
  for index in 0..<n {
    let factor = factors + index * 16
    var sum = V.load(first + index * 16)
    var other = V.load(second + index * 16)
    var f = V(repeating: factor[0])
    sum = r0.fma(f, sum)
    other = o0.fma(f, other)
    f = V(repeating: factor[1])
    sum = r1.fma(f, sum)
    other = o1.fma(f, other)
    f = V(repeating: factor[2])
    sum = r2.fma(f, sum)
    other = o2.fma(f, other)
    f = V(repeating: factor[3])
    sum = r3.fma(f, sum)
    other = o3.fma(f, other)
    f = V(repeating: factor[4])
    sum = r4.fma(f, sum)
    other = o4.fma(f, other)
    f = V(repeating: factor[5])
    sum = r5.fma(f, sum)
    other = o5.fma(f, other)
    f = V(repeating: factor[6])
    sum = r6.fma(f, sum)
    other = o6.fma(f, other)
    f = V(repeating: factor[7])
    sum = r7.fma(f, sum)
    other = o7.fma(f, other)
    sum.store(first + index * 16)
    other.store(second + index * 16)
  }
}

/// `sums[i] += Σ_j factors[i][j] · rows[j]` for j in 0..<16 in order: one fused chain for each i.
///
/// Rows lie `stride` bytes apart, factors and sums are `[n][16]`. Rows are widened once and stay in
/// registers, all sixteen or four at a time, as the instruction set has room.
@inlinable @inline(__always)
func multiplyRows<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ rows: UnsafeRawPointer,
  _ stride: Int,
  _ factors: UnsafePointer<Float>,
  _ n: Int,
  _ sums: UnsafeMutablePointer<Float>
) {
  if L.holdsSixteenRows || n == 1 {
    multiplySixteenRows(L.self, F.self, rows, stride, factors, n, sums)
  } else {
    for quarter in 0..<4 {
      let start = rows + quarter * 4 * stride
      multiplyFourRows(L.self, F.self, start, stride, factors + quarter * 4, n, sums)
    }
  }
}

@inlinable @inline(__always)
func multiplyFourRows<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ rows: UnsafeRawPointer,
  _ stride: Int,
  _ factors: UnsafePointer<Float>,
  _ n: Int,
  _ sums: UnsafeMutablePointer<Float>
) {
  let r0 = F.load(L.self, rows)
  let r1 = F.load(L.self, rows + stride)
  let r2 = F.load(L.self, rows + 2 * stride)
  let r3 = F.load(L.self, rows + 3 * stride)
  for index in 0..<n {
    let factor = factors + index * 16
    var sum = SIMD16<Float>.load(sums + index * 16)
    sum = r0.fma(SIMD16(repeating: factor[0]), sum)
    sum = r1.fma(SIMD16(repeating: factor[1]), sum)
    sum = r2.fma(SIMD16(repeating: factor[2]), sum)
    sum = r3.fma(SIMD16(repeating: factor[3]), sum)
    sum.store(sums + index * 16)
  }
}

@inlinable @inline(__always)
func multiplySixteenRows<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ rows: UnsafeRawPointer,
  _ stride: Int,
  _ factors: UnsafePointer<Float>,
  _ n: Int,
  _ sums: UnsafeMutablePointer<Float>
) {
  let r0 = F.load(L.self, rows)
  let r1 = F.load(L.self, rows + stride)
  let r2 = F.load(L.self, rows + 2 * stride)
  let r3 = F.load(L.self, rows + 3 * stride)
  let r4 = F.load(L.self, rows + 4 * stride)
  let r5 = F.load(L.self, rows + 5 * stride)
  let r6 = F.load(L.self, rows + 6 * stride)
  let r7 = F.load(L.self, rows + 7 * stride)
  let r8 = F.load(L.self, rows + 8 * stride)
  let r9 = F.load(L.self, rows + 9 * stride)
  let r10 = F.load(L.self, rows + 10 * stride)
  let r11 = F.load(L.self, rows + 11 * stride)
  let r12 = F.load(L.self, rows + 12 * stride)
  let r13 = F.load(L.self, rows + 13 * stride)
  let r14 = F.load(L.self, rows + 14 * stride)
  let r15 = F.load(L.self, rows + 15 * stride)
  for index in 0..<n {
    let factor = factors + index * 16
    var sum = SIMD16<Float>.load(sums + index * 16)
    sum = r0.fma(SIMD16(repeating: factor[0]), sum)
    sum = r1.fma(SIMD16(repeating: factor[1]), sum)
    sum = r2.fma(SIMD16(repeating: factor[2]), sum)
    sum = r3.fma(SIMD16(repeating: factor[3]), sum)
    sum = r4.fma(SIMD16(repeating: factor[4]), sum)
    sum = r5.fma(SIMD16(repeating: factor[5]), sum)
    sum = r6.fma(SIMD16(repeating: factor[6]), sum)
    sum = r7.fma(SIMD16(repeating: factor[7]), sum)
    sum = r8.fma(SIMD16(repeating: factor[8]), sum)
    sum = r9.fma(SIMD16(repeating: factor[9]), sum)
    sum = r10.fma(SIMD16(repeating: factor[10]), sum)
    sum = r11.fma(SIMD16(repeating: factor[11]), sum)
    sum = r12.fma(SIMD16(repeating: factor[12]), sum)
    sum = r13.fma(SIMD16(repeating: factor[13]), sum)
    sum = r14.fma(SIMD16(repeating: factor[14]), sum)
    sum = r15.fma(SIMD16(repeating: factor[15]), sum)
    sum.store(sums + index * 16)
  }
}
