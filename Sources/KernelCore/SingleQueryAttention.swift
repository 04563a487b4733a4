// Attention of one query, the case of decoding: bound by reading the pages. A unit takes several
// adjacent heads, so that a page is read as one run, the longer the better, and fetches ahead what
// comes next. The same operations in the same order as for many queries: one fused chain over the
// dimensions for a score, one over the tokens for a result.

/// One unit of a single query and `unit.heads` heads.
///
/// Scratch: scores `[page][head][16]`, queries `[head][paddedDim]`, results `[head][paddedDim]`.
@inlinable @inline(__always)
func attendSingle<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ a: AttentionArguments,
  _ unit: AttentionUnit,
  _ scratch: UnsafeMutablePointer<Float>
) {
  typealias V = SIMD16<Float>
  let g = a.geometry
  let n = unit.heads
  let visible = unit.visible(0)
  let pageCount = unit.pageCount
  let chunks = g.paddedDim / 16
  let scores = scratch
  let queries = scores + pageCount * n * 16
  let results = queries + g.paddedDim * n

  for head in 0..<n {
    let q = a.q + unit.row * a.qStride + (unit.head + head) * g.headDim
    for chunk in 0..<chunks {
      let offset = head * g.paddedDim + chunk * 16
      V.load(q + chunk * 16, count: g.headDim - chunk * 16).store(queries + offset)
      V(repeating: 0).store(results + offset)
    }
  }
  for page in 0..<pageCount {
    scoreHeads(L.self, F.self, a, unit, page, queries, scores + page * n * 16)
  }
  for head in 0..<n {
    let sum = softmax(
      L.self,
      F.self,
      a,
      unit,
      unit.head + head,
      scores + head * 16,
      n * 16,
      visible
    )
    queries[head * g.paddedDim] = sum > 0 ? 1 / sum : 0
  }
  for page in 0..<pageCount {
    let start = g.valueOffset + unit.head * g.headBytes
    let base = a.base + Int(unit.pages[page]) * g.pageBytes + start
    let count = min(16, visible - page * 16)
    for head in 0..<n {
      var ahead = RunsAhead(F.self, a, unit, start, page, head)
      weighRows(
        L.self,
        F.self,
        base + head * g.headBytes,
        chunks,
        count,
        scores + (page * n + head) * 16,
        results + head * g.paddedDim,
        &ahead
      )
    }
  }
  for head in 0..<n {
    let out = a.out + unit.row * a.outStride + (unit.head + head) * g.headDim
    let factor = V(repeating: queries[head * g.paddedDim])
    for chunk in 0..<chunks {
      (V.load(results + head * g.paddedDim + chunk * 16) * factor)
        .store(out + chunk * 16, count: g.headDim - chunk * 16)
    }
  }
}

/// Scaled scores of one page for one query and all heads of a unit, four heads abreast; beyond the
/// last head that head is scored again.
@inlinable @inline(__always)
func scoreHeads<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ a: AttentionArguments,
  _ unit: AttentionUnit,
  _ page: Int,
  _ queries: UnsafePointer<Float>,
  _ scores: UnsafeMutablePointer<Float>
) {
  typealias V = SIMD16<Float>
  let g = a.geometry
  let n = unit.heads
  let size = g.headBytes
  let dim = g.paddedDim
  let start = unit.head * size
  let base = a.base + Int(unit.pages[page]) * g.pageBytes + start
  if F.isScaled {
    let next = a.base + Int(unit.pages[min(page + 1, unit.pageCount - 1)]) * g.pageBytes
    for head in unit.head..<(unit.head + n) {
      L.prefetch(next + g.keyScaleOffset + head * 64)
      L.prefetch(next + g.valueScaleOffset + head * 64)
    }
  }
  var head = 0
  while head < n {
    let h1 = min(head + 1, n - 1)
    let h2 = min(head + 2, n - 1)
    let h3 = min(head + 3, n - 1)
    var k0 = base + head * size
    var k1 = base + h1 * size
    var k2 = base + h2 * size
    var k3 = base + h3 * size
    let q0 = queries + head * dim
    let q1 = queries + h1 * dim
    let q2 = queries + h2 * dim
    let q3 = queries + h3 * dim
    var s0 = V(repeating: 0)
    var s1 = V(repeating: 0)
    var s2 = V(repeating: 0)
    var s3 = V(repeating: 0)
    var ahead = RunsAhead(F.self, a, unit, start, page, head)
    var d = 0
    while d < dim {
      ahead.fetch(L.self, 16 * F.bytes)
      for step in 0..<4 {
        s0 = F.load(L.self, k0 + step * F.bytes).fma(V(repeating: q0[d + step]), s0)
        s1 = F.load(L.self, k1 + step * F.bytes).fma(V(repeating: q1[d + step]), s1)
        s2 = F.load(L.self, k2 + step * F.bytes).fma(V(repeating: q2[d + step]), s2)
        s3 = F.load(L.self, k3 + step * F.bytes).fma(V(repeating: q3[d + step]), s3)
      }
      k0 += 4 * F.bytes
      k1 += 4 * F.bytes
      k2 += 4 * F.bytes
      k3 += 4 * F.bytes
      d += 4
    }
    let number = unit.pages[page]
    (s0 * scoreFactor(L.self, F.self, a, number, unit.head + head)).store(scores + head * 16)
    (s1 * scoreFactor(L.self, F.self, a, number, unit.head + h1)).store(scores + h1 * 16)
    (s2 * scoreFactor(L.self, F.self, a, number, unit.head + h2)).store(scores + h2 * 16)
    (s3 * scoreFactor(L.self, F.self, a, number, unit.head + h3)).store(scores + h3 * 16)
    head += 4
  }
}

/// The factor of each score of a page and head: the scale of the attention, and that of each key.
@inlinable @inline(__always)
func scoreFactor<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ a: AttentionArguments,
  _ page: Int32,
  _ head: Int
) -> SIMD16<Float> {
  let factor = SIMD16<Float>(repeating: a.scale)
  guard F.isScaled else { return factor }
  let base = a.base + Int(page) * a.geometry.pageBytes + a.geometry.keyScaleOffset
  return factor * SIMD16.load(base.assumingMemoryBound(to: Float.self) + head * 16)
}

/// What a unit will read next: the keys, or the values, of its heads form one run in each page.
@usableFromInline
struct RunsAhead {
  @usableFromInline var address: UnsafeRawPointer
  @usableFromInline var left: Int
  @usableFromInline var page: Int
  @usableFromInline let run: Int
  @usableFromInline let start: Int
  @usableFromInline let stride: Int
  @usableFromInline let base: UnsafeRawPointer
  @usableFromInline let unit: AttentionUnit

  /// Begins 512 vectors behind head `head` of `page`; the run of a page begins at `start`.
  @inlinable @inline(__always)
  init<F: FloatFormat>(
    _: F.Type,
    _ a: AttentionArguments,
    _ unit: AttentionUnit,
    _ start: Int,
    _ page: Int,
    _ head: Int
  ) {
    run = unit.heads * a.geometry.headBytes
    self.start = start
    stride = a.geometry.pageBytes
    base = a.base
    self.unit = unit
    var offset = head * a.geometry.headBytes + 512 * F.bytes
    self.page = page
    while offset >= run {
      offset -= run
      self.page += 1
    }
    left = run - offset
    let number = unit.pages[min(self.page, unit.pageCount - 1)]
    address = base + Int(number) * stride + (start + offset)
  }

  /// Fetches the next `bytes` bytes, a divisor of a head.
  @inlinable @inline(__always)
  mutating func fetch<L: Lanes>(_: L.Type, _ bytes: Int) {
    var line = 0
    while line < bytes {
      L.prefetch(address + line)
      line += 64
    }
    address += bytes
    left -= bytes
    guard left <= 0 else { return }
    page += 1
    left = run
    address = base + Int(unit.pages[min(page, unit.pageCount - 1)]) * stride + start
  }
}

/// Adds the first `count` values of a page and head, weighted, to `results [16·chunks]`.
@inlinable @inline(__always)
func weighRows<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ values: UnsafeRawPointer,
  _ chunks: Int,
  _ count: Int,
  _ weights: UnsafePointer<Float>,
  _ results: UnsafeMutablePointer<Float>,
  _ ahead: inout RunsAhead
) {
  typealias V = SIMD16<Float>
  let stride = chunks * F.bytes
  var chunk = 0
  while chunk + 8 <= chunks {
    let result = results + chunk * 16
    var r0 = V.load(result)
    var r1 = V.load(result + 16)
    var r2 = V.load(result + 32)
    var r3 = V.load(result + 48)
    var r4 = V.load(result + 64)
    var r5 = V.load(result + 80)
    var r6 = V.load(result + 96)
    var r7 = V.load(result + 112)
    var row = values + chunk * F.bytes
    for token in 0..<count {
      ahead.fetch(L.self, 8 * F.bytes)
      let w = V(repeating: weights[token])
      r0 = F.load(L.self, row).fma(w, r0)
      r1 = F.load(L.self, row + F.bytes).fma(w, r1)
      r2 = F.load(L.self, row + 2 * F.bytes).fma(w, r2)
      r3 = F.load(L.self, row + 3 * F.bytes).fma(w, r3)
      r4 = F.load(L.self, row + 4 * F.bytes).fma(w, r4)
      r5 = F.load(L.self, row + 5 * F.bytes).fma(w, r5)
      r6 = F.load(L.self, row + 6 * F.bytes).fma(w, r6)
      r7 = F.load(L.self, row + 7 * F.bytes).fma(w, r7)
      row += stride
    }
    r0.store(result)
    r1.store(result + 16)
    r2.store(result + 32)
    r3.store(result + 48)
    r4.store(result + 64)
    r5.store(result + 80)
    r6.store(result + 96)
    r7.store(result + 112)
    chunk += 8
  }
  while chunk < chunks {
    var sum = V.load(results + chunk * 16)
    var row = values + chunk * F.bytes
    for token in 0..<count {
      sum = F.load(L.self, row).fma(V(repeating: weights[token]), sum)
      row += stride
    }
    sum.store(results + chunk * 16)
    chunk += 1
  }
}
