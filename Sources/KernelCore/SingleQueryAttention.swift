// Attention of one query, the case of decoding: bound by reading the pages, so several pages stay
// in flight and the next ones are fetched ahead. The same operations in the same order as for many
// queries: one fused chain over the dimensions for a score, one over the tokens for a result.

/// Scores of all visible pages for one query, scaled.
///
/// `query [paddedDim]`, `scores [page][16]`. Reads the keys of one head once, four pages abreast;
/// beyond the last page the last one is scored again.
@inlinable @inline(__always)
func scoreSingle<L: Lanes, F: PageFormat>(
  _: L.Type,
  _: F.Type,
  _ a: AttentionArguments,
  _ unit: AttentionUnit,
  _ query: UnsafePointer<Float>,
  _ scores: UnsafeMutablePointer<Float>
) {
  typealias V = SIMD16<Float>
  let g = a.geometry
  let pageCount = unit.pageCount
  let keys = a.base + unit.head * g.headBytes
  var page = 0
  while page < pageCount {
    let p0 = page
    let p1 = min(page + 1, pageCount - 1)
    let p2 = min(page + 2, pageCount - 1)
    let p3 = min(page + 3, pageCount - 1)
    var k0 = keys + Int(unit.pages[p0]) * g.pageBytes
    var k1 = keys + Int(unit.pages[p1]) * g.pageBytes
    var k2 = keys + Int(unit.pages[p2]) * g.pageBytes
    var k3 = keys + Int(unit.pages[p3]) * g.pageBytes
    let last = pageCount - 1
    let ahead0 = (Int(unit.pages[min(page + 4, last)]) - Int(unit.pages[p0])) * g.pageBytes
    let ahead1 = (Int(unit.pages[min(page + 5, last)]) - Int(unit.pages[p1])) * g.pageBytes
    let ahead2 = (Int(unit.pages[min(page + 6, last)]) - Int(unit.pages[p2])) * g.pageBytes
    let ahead3 = (Int(unit.pages[min(page + 7, last)]) - Int(unit.pages[p3])) * g.pageBytes
    if F.isScaled {
      for next in (page + 4)..<(page + 8) {
        let base = a.base + Int(unit.pages[min(next, last)]) * g.pageBytes
        L.prefetch(base + g.keyScaleOffset + unit.head * 64)
        L.prefetch(base + g.valueScaleOffset + unit.head * 64)
      }
    }
    var s0 = V(repeating: 0)
    var s1 = V(repeating: 0)
    var s2 = V(repeating: 0)
    var s3 = V(repeating: 0)
    var d = 0
    while d < g.paddedDim {
      var line = 0
      while line < 4 * F.bytes {
        L.prefetch(k0 + (ahead0 + line))
        L.prefetch(k1 + (ahead1 + line))
        L.prefetch(k2 + (ahead2 + line))
        L.prefetch(k3 + (ahead3 + line))
        line += 64
      }
      for step in 0..<4 {
        let q = V(repeating: query[d + step])
        s0 = F.load(L.self, k0 + step * F.bytes).fma(q, s0)
        s1 = F.load(L.self, k1 + step * F.bytes).fma(q, s1)
        s2 = F.load(L.self, k2 + step * F.bytes).fma(q, s2)
        s3 = F.load(L.self, k3 + step * F.bytes).fma(q, s3)
      }
      k0 += 4 * F.bytes
      k1 += 4 * F.bytes
      k2 += 4 * F.bytes
      k3 += 4 * F.bytes
      d += 4
    }
    (s0 * scoreFactor(L.self, F.self, a, unit, p0)).store(scores + p0 * 16)
    (s1 * scoreFactor(L.self, F.self, a, unit, p1)).store(scores + p1 * 16)
    (s2 * scoreFactor(L.self, F.self, a, unit, p2)).store(scores + p2 * 16)
    (s3 * scoreFactor(L.self, F.self, a, unit, p3)).store(scores + p3 * 16)
    page += 4
  }
}

/// The factor of each score of a page: the scale of the attention, and that of each key.
@inlinable @inline(__always)
func scoreFactor<L: Lanes, F: PageFormat>(
  _: L.Type,
  _: F.Type,
  _ a: AttentionArguments,
  _ unit: AttentionUnit,
  _ page: Int
) -> SIMD16<Float> {
  let factor = SIMD16<Float>(repeating: a.scale)
  guard F.isScaled else { return factor }
  let base = a.base + Int(unit.pages[page]) * a.geometry.pageBytes + a.geometry.keyScaleOffset
  return factor * SIMD16.load(base.assumingMemoryBound(to: Float.self) + unit.head * 16)
}

/// Adds the first `count` values of a page, weighted, to `results [paddedDim]`.
///
/// `ahead` is the distance in bytes to what will be read next.
@inlinable @inline(__always)
func weighSingle<L: Lanes, F: PageFormat>(
  _: L.Type,
  _: F.Type,
  _ values: UnsafeRawPointer,
  _ chunks: Int,
  _ count: Int,
  _ weights: UnsafePointer<Float>,
  _ results: UnsafeMutablePointer<Float>,
  _ ahead: Int
) {
  typealias V = SIMD16<Float>
  let stride = chunks * F.bytes
  var chunk = 0
  while chunk + 4 <= chunks {
    let result = results + chunk * 16
    var r0 = V.load(result)
    var r1 = V.load(result + 16)
    var r2 = V.load(result + 32)
    var r3 = V.load(result + 48)
    var row = values + chunk * F.bytes
    for token in 0..<count {
      var line = 0
      while line < 4 * F.bytes {
        L.prefetch(row + (ahead + line))
        line += 64
      }
      let w = V(repeating: weights[token])
      r0 = F.load(L.self, row).fma(w, r0)
      r1 = F.load(L.self, row + F.bytes).fma(w, r1)
      r2 = F.load(L.self, row + 2 * F.bytes).fma(w, r2)
      r3 = F.load(L.self, row + 3 * F.bytes).fma(w, r3)
      row += stride
    }
    r0.store(result)
    r1.store(result + 16)
    r2.store(result + 32)
    r3.store(result + 48)
    chunk += 4
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
