// Attention of one query, the case of decoding: bound by reading the pages. A unit takes several
// adjacent heads, so that a page is read as one run, and four pages abreast: four streams read faster
// than one, each dimension of the query serves four vectors of keys, and the results of a head stay
// in registers for 64 tokens. The same operations in the same order as for many queries: one fused
// chain over the dimensions for a score, one over the tokens for a result.

/// One unit of a single query and `unit.heads` heads.
///
/// Reads the keys of all pages, then their values; weights are computed just before the values that
/// they multiply, while these are on their way from memory.
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
  let chunks = g.paddedDim / 16
  let s = SingleQueryScratch(a, unit, scratch)

  for head in 0..<n {
    let q = a.q + unit.row * a.qStride + (unit.head + head) * g.headDim
    for chunk in 0..<chunks {
      let offset = head * g.paddedDim + chunk * 16
      V.load(q + chunk * 16, count: g.headDim - chunk * 16).store(s.queries + offset)
      V(repeating: 0).store(s.results + offset)
    }
    V(repeating: -.infinity).store(s.tops + head * 16)
    V(repeating: 0).store(s.sums + head * 16)
  }
  scoreFours(L.self, F.self, a, unit, s)
  for head in 0..<n {
    let top = s.tops + head * 16
    V(repeating: V.load(top).horizontalMax(L.self)).store(top)
  }
  weighFours(L.self, F.self, a, unit, s)
  for head in 0..<n {
    let out = a.out + unit.row * a.outStride + (unit.head + head) * g.headDim
    let sum = V.load(s.sums + head * 16).horizontalSum
    let factor = V(repeating: sum > 0 ? 1 / sum : 0)
    for chunk in 0..<chunks {
      (V.load(s.results + head * g.paddedDim + chunk * 16) * factor)
        .store(out + chunk * 16, count: g.headDim - chunk * 16)
    }
  }
}

/// Where a unit of a single query keeps what.
@usableFromInline
struct SingleQueryScratch {
  /// Scores, then weights `[four pages][head][page][16 tokens]`.
  @usableFromInline let scores: UnsafeMutablePointer<Float>
  /// `[head][paddedDim]`.
  @usableFromInline let queries: UnsafeMutablePointer<Float>
  /// `[head][paddedDim]`.
  @usableFromInline let results: UnsafeMutablePointer<Float>
  /// Largest scores `[head][16]`.
  @usableFromInline let tops: UnsafeMutablePointer<Float>
  /// Sums of weights `[head][16]`.
  @usableFromInline let sums: UnsafeMutablePointer<Float>

  @inlinable @inline(__always)
  init(
    _ a: AttentionArguments,
    _ unit: AttentionUnit,
    _ scratch: UnsafeMutablePointer<Float>
  ) {
    let n = unit.heads
    scores = scratch
    queries = scores + (unit.pageCount + 3) / 4 * 64 * n
    results = queries + a.geometry.paddedDim * n
    tops = results + a.geometry.paddedDim * n
    sums = tops + 16 * n
  }
}

/// The scaled scores of all keys, and the largest of each lane.
///
/// Beyond the last page that page is scored again.
@inlinable @inline(__always)
func scoreFours<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ a: AttentionArguments,
  _ unit: AttentionUnit,
  _ s: SingleQueryScratch
) {
  typealias V = SIMD16<Float>
  let g = a.geometry
  let n = unit.heads
  let visible = unit.visible(0)
  let last = unit.pageCount - 1
  let start = unit.head * g.headBytes
  var ahead = PagesAhead(a, unit, start, n * g.headBytes)
  ahead.begin(L.self, 2048)
  var scales = PagesAhead(a, unit, g.keyScaleOffset + unit.head * 64, n * 64)
  if F.isScaled { scales.begin(L.self, 256) }
  var page = 0
  var scores = s.scores
  while page <= last {
    let p0 = Int(unit.pages[page])
    let p1 = Int(unit.pages[min(page + 1, last)])
    let p2 = Int(unit.pages[min(page + 2, last)])
    let p3 = Int(unit.pages[min(page + 3, last)])
    for head in 0..<n {
      let base = a.base + (start + head * g.headBytes)
      var k0 = base + p0 * g.pageBytes
      var k1 = base + p1 * g.pageBytes
      var k2 = base + p2 * g.pageBytes
      var k3 = base + p3 * g.pageBytes
      let q = s.queries + head * g.paddedDim
      var s0 = V(repeating: 0)
      var s1 = V(repeating: 0)
      var s2 = V(repeating: 0)
      var s3 = V(repeating: 0)
      if F.isScaled { scales.fetch(L.self, 256) }
      var d = 0
      while d < g.paddedDim {
        ahead.fetch(L.self, 16 * F.bytes)
        for step in 0..<4 {
          let x = V(repeating: q[d + step])
          s0 = F.load(L.self, k0 + step * F.bytes).fma(x, s0)
          s1 = F.load(L.self, k1 + step * F.bytes).fma(x, s1)
          s2 = F.load(L.self, k2 + step * F.bytes).fma(x, s2)
          s3 = F.load(L.self, k3 + step * F.bytes).fma(x, s3)
        }
        k0 += 4 * F.bytes
        k1 += 4 * F.bytes
        k2 += 4 * F.bytes
        k3 += 4 * F.bytes
        d += 4
      }
      (s0 * scoreFactor(L.self, F.self, a, p0, unit.head + head)).store(scores)
      (s1 * scoreFactor(L.self, F.self, a, p1, unit.head + head)).store(scores + 16)
      (s2 * scoreFactor(L.self, F.self, a, p2, unit.head + head)).store(scores + 32)
      (s3 * scoreFactor(L.self, F.self, a, p3, unit.head + head)).store(scores + 48)
      var top = V.load(s.tops + head * 16)
      for i in 0..<min(4, last + 1 - page) {
        var score = V.load(scores + i * 16)
        if page + i == last {
          score = score.hiding(L.self, from: visible - last * 16, -.infinity)
          score.store(scores + i * 16)
        }
        top = L.max(top, score)
      }
      top.store(s.tops + head * 16)
      scores += 64
    }
    page += 4
  }
}

/// The weighted values of all keys.
@inlinable @inline(__always)
func weighFours<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ a: AttentionArguments,
  _ unit: AttentionUnit,
  _ s: SingleQueryScratch
) {
  typealias V = SIMD16<Float>
  let g = a.geometry
  let n = unit.heads
  let start = g.valueOffset + unit.head * g.headBytes
  var ahead = PagesAhead(a, unit, start, n * g.headBytes)
  ahead.begin(L.self, 128 * F.bytes)
  var scales = PagesAhead(a, unit, g.valueScaleOffset + unit.head * 64, n * 64)
  if F.isScaled { scales.begin(L.self, 256) }
  var page = 0
  var weights = s.scores
  while page < unit.pageCount {
    for head in 0..<n {
      if F.isScaled { scales.fetch(L.self, 256) }
      weighHead(L.self, F.self, a, unit, page, head, weights, s, &ahead)
      weights += 64
    }
    page += 4
  }
}

/// Turns the scores of a head in four pages into weights and adds the values, weighted, to its results.
@inlinable @inline(__always)
func weighHead<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ a: AttentionArguments,
  _ unit: AttentionUnit,
  _ page: Int,
  _ head: Int,
  _ weights: UnsafeMutablePointer<Float>,
  _ s: SingleQueryScratch,
  _ state: inout PagesAhead
) {
  typealias V = SIMD16<Float>
  // A copy lives in registers.
  var ahead = state
  let g = a.geometry
  let chunks = g.paddedDim / 16
  let stride = chunks * F.bytes
  let base = a.base + (g.valueOffset + (unit.head + head) * g.headBytes)
  let pages = unit.pages + page
  let count = min(64, unit.visible(0) - page * 16)
  let results = s.results + head * g.paddedDim
  let largest = V.load(s.tops + head * 16)
  var sum = V.load(s.sums + head * 16)
  var chunk = 0
  while L.holdsSixteenRows, chunk + 8 <= chunks {
    let result = results + chunk * 16
    var r0 = V.load(result)
    var r1 = V.load(result + 16)
    var r2 = V.load(result + 32)
    var r3 = V.load(result + 48)
    var r4 = V.load(result + 64)
    var r5 = V.load(result + 80)
    var r6 = V.load(result + 96)
    var r7 = V.load(result + 112)
    var first = 0
    while first < count {
      let number = pages[first / 16]
      if chunk == 0 {
        let (p, seen) = (weights + first, count - first)
        sum = sum + weigh(L.self, F.self, a, p, largest, seen, number, unit.head + head)
      }
      var row = base + Int(number) * g.pageBytes + chunk * F.bytes
      var next = valuesAhead(a, unit, page, head, first / 16) + chunk * F.bytes * 16
      for token in first..<min(first + 16, count) {
        if F.isScaled {
          L.prefetch(next)
          L.prefetch(next + 64)
          next += 128
        } else {
          ahead.fetch(L.self, 8 * F.bytes)
        }
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
      first += 16
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
  var first = 0
  while chunk < chunks, first < count {
    let number = pages[first / 16]
    if chunk == 0 {
      let (p, seen) = (weights + first, count - first)
      sum = sum + weigh(L.self, F.self, a, p, largest, seen, number, unit.head + head)
    }
    var row = base + Int(number) * g.pageBytes
    var next = valuesAhead(a, unit, page, head, first / 16) + chunk * F.bytes * 16
    var token = first
    let end = min(first + 16, count)
    // Results stay in memory: each is read and written once for four tokens.
    while token + 4 <= end {
      let w0 = V(repeating: weights[token])
      let w1 = V(repeating: weights[token + 1])
      let w2 = V(repeating: weights[token + 2])
      let w3 = V(repeating: weights[token + 3])
      for chunk in chunk..<chunks {
        if F.isScaled {
          L.prefetch(next)
          next += 64
        } else if chunk & 1 == 0 {
          ahead.fetch(L.self, 8 * F.bytes)
        }
        let value = row + chunk * F.bytes
        var sum = V.load(results + chunk * 16)
        sum = F.load(L.self, value).fma(w0, sum)
        sum = F.load(L.self, value + stride).fma(w1, sum)
        sum = F.load(L.self, value + 2 * stride).fma(w2, sum)
        sum = F.load(L.self, value + 3 * stride).fma(w3, sum)
        sum.store(results + chunk * 16)
      }
      row += 4 * stride
      token += 4
    }
    while token < end {
      for chunk in chunk..<chunks {
        let value = F.load(L.self, row + chunk * F.bytes)
        value.fma(V(repeating: weights[token]), V.load(results + chunk * 16))
          .store(results + chunk * 16)
      }
      row += stride
      token += 1
    }
    first += 16
  }
  sum.store(s.sums + head * 16)
  state = ahead
}

/// The values that are weighted five runs after those of `head` in the page `place` behind `page`; a run is what a
/// page has of a head.
///
/// Values are read run by run. Those of int8, 2 KiB in a run of LLaMA, come sooner when they are fetched in this
/// order too, all equally long before they serve; of longer runs four abreast come sooner.
@inlinable @inline(__always)
func valuesAhead(
  _ a: AttentionArguments,
  _ unit: AttentionUnit,
  _ page: Int,
  _ head: Int,
  _ place: Int
) -> UnsafeRawPointer {
  let g = a.geometry
  var head = head + (place + 5) / 4
  var page = page + (place + 5) % 4
  while head >= unit.heads {
    head -= unit.heads
    page += 4
  }
  let number = Int(unit.pages[min(page, unit.pageCount - 1)])
  return a.base + (number * g.pageBytes + g.valueOffset + (unit.head + head) * g.headBytes)
}

/// What a unit will read next: a run of each page, of four pages abreast.
@usableFromInline
struct PagesAhead {
  @usableFromInline var p0: UnsafeRawPointer
  @usableFromInline var p1: UnsafeRawPointer
  @usableFromInline var p2: UnsafeRawPointer
  @usableFromInline var p3: UnsafeRawPointer
  /// Bytes of the four runs that are still to be fetched.
  @usableFromInline var left: Int
  @usableFromInline var page: Int
  @usableFromInline let run: Int
  @usableFromInline let stride: Int
  @usableFromInline let base: UnsafeRawPointer
  @usableFromInline let unit: AttentionUnit

  /// Runs of `run` bytes that begin at `start` of each page.
  @inlinable @inline(__always)
  init(_ a: AttentionArguments, _ unit: AttentionUnit, _ start: Int, _ run: Int) {
    base = a.base + start
    p0 = base
    p1 = base
    p2 = base
    p3 = base
    left = 0
    page = -4
    self.run = run
    stride = a.geometry.pageBytes
    self.unit = unit
  }

  /// Fetches the first `bytes` bytes of each of the first four runs: so far the rest is ahead.
  @inlinable @inline(__always)
  mutating func begin<L: Lanes>(_: L.Type, _ bytes: Int) {
    guard unit.pageCount > 0 else { return }
    next()
    for _ in 0..<(bytes / 64) { fetch(L.self, 256) }
  }

  /// Fetches the next `bytes` bytes of the four runs, lines of one after those of another: a multiple
  /// of 128 that divides their sum.
  @inlinable @inline(__always)
  mutating func fetch<L: Lanes>(_: L.Type, _ bytes: Int) {
    for _ in 0..<(bytes / 128) {
      L.prefetch(p0)
      L.prefetch(p1)
      let later = (p0 + 64, p1 + 64)
      p0 = p2
      p1 = p3
      p2 = later.0
      p3 = later.1
    }
    left -= bytes
    if left <= 0 { next() }
  }

  /// Goes on to the next four pages; beyond the last page that one comes again.
  @inlinable @inline(__always)
  mutating func next() {
    page += 4
    left = 4 * run
    let last = unit.pageCount - 1
    p0 = base + Int(unit.pages[min(page, last)]) * stride
    p1 = base + Int(unit.pages[min(page + 1, last)]) * stride
    p2 = base + Int(unit.pages[min(page + 2, last)]) * stride
    p3 = base + Int(unit.pages[min(page + 3, last)]) * stride
  }
}
