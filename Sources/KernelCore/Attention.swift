// Softmax attention over pages: scores of all visible keys, one maximum, one sum, then the weighted
// values. Every query follows the same operations in the same order whatever its neighbours, so
// decoding, prefill in any chunks, any page numbers and any thread count give the same bits.

/// Up to 16 queries of one head, or one query of several heads, that see one sequence of keys.
public struct AttentionUnit {
  /// First query row.
  public var row: Int
  /// Number of query rows, 1...16.
  public var queries: Int
  /// First attention head.
  public var head: Int
  /// Number of attention heads; 1 where there are several queries.
  public var heads: Int
  /// Keys visible to the first query; zero or less means none.
  public var keys: Int
  /// Keys that each later query sees beyond the one before it: 1 under a causal mask, else 0.
  public var step: Int
  /// Page numbers of the sequence.
  public var pages: UnsafePointer<Int32>

  /// A unit.
  public init(
    row: Int,
    queries: Int,
    head: Int,
    heads: Int,
    keys: Int,
    step: Int,
    pages: UnsafePointer<Int32>
  ) {
    self.row = row
    self.queries = queries
    self.head = head
    self.heads = heads
    self.keys = keys
    self.step = step
    self.pages = pages
  }

  /// Most queries of a unit.
  @inlinable public static var width: Int { 16 }

  /// Keys visible to query `index`.
  @inlinable @inline(__always)
  public func visible(_ index: Int) -> Int { max(0, keys + index * step) }

  /// Pages that some query sees.
  @inlinable @inline(__always)
  public var pageCount: Int {
    (visible(queries - 1) + PageGeometry.tokens - 1) / PageGeometry.tokens
  }
}

/// What all units of one attention share.
public struct AttentionArguments {
  /// First head of query row 0.
  public var q: UnsafePointer<Float>
  /// Elements between rows of `q`.
  public var qStride: Int
  /// First head of result row 0.
  public var out: UnsafeMutablePointer<Float>
  /// Elements between rows of `out`.
  public var outStride: Int
  /// Factor of the scores.
  public var scale: Float
  /// Page 0.
  public var base: UnsafeRawPointer
  /// Sizes of a page.
  public var geometry: PageGeometry

  /// An argument list.
  public init(
    q: UnsafePointer<Float>,
    qStride: Int,
    out: UnsafeMutablePointer<Float>,
    outStride: Int,
    scale: Float,
    base: UnsafeRawPointer,
    geometry: PageGeometry
  ) {
    self.q = q
    self.qStride = qStride
    self.out = out
    self.outStride = outStride
    self.scale = scale
    self.base = base
    self.geometry = geometry
  }

  /// Bytes of scratch that a unit needs.
  public func scratchBytes(_ unit: AttentionUnit) -> Int {
    // Of a single query: scores of whole fours of pages, and a vector of largest scores and of sums.
    let scores = (unit.pageCount + 3) / 4 * 4 * PageGeometry.tokens
    return (scores + 2 * geometry.paddedDim + 32) * unit.queries * unit.heads * 4
  }
}

/// Computes one unit: `out[i] = Σ_t softmax_t(scale · q[i] · k[t]) v[t]` over the keys visible to
/// query i.
///
/// A query that sees no key gives zeros. Reads each page of the head once for up to 16 queries.
@inlinable @inline(__always)
public func attend<L: Lanes>(
  _: L.Type,
  _ a: AttentionArguments,
  _ unit: AttentionUnit,
  _ scratch: UnsafeMutablePointer<Float>
) {
  switch a.geometry.element {
  case .float32: attend(L.self, Float32Format.self, a, unit, scratch)
  case .float16: attend(L.self, Float16Format.self, a, unit, scratch)
  case .int8: attend(L.self, Int8Format.self, a, unit, scratch)
  }
}

@inlinable @inline(__always)
func attend<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ a: AttentionArguments,
  _ unit: AttentionUnit,
  _ scratch: UnsafeMutablePointer<Float>
) {
  typealias V = SIMD16<Float>
  let g = a.geometry
  let n = unit.queries
  if n == 1 { return attendSingle(L.self, F.self, a, unit, scratch) }
  let pageCount = unit.pageCount
  let chunks = g.paddedDim / 16
  // Scratch: scores [page][query][16], queries [chunk][query][16], results [chunk][query][16].
  let scores = scratch
  let queries = scores + pageCount * n * 16
  let results = queries + g.paddedDim * n

  for query in 0..<n {
    let q = a.q + (unit.row + query) * a.qStride + unit.head * g.headDim
    for chunk in 0..<chunks {
      V.load(q + chunk * 16, count: g.headDim - chunk * 16)
        .store(queries + (chunk * n + query) * 16)
      V(repeating: 0).store(results + (chunk * n + query) * 16)
    }
  }
  var page = 0
  while page < pageCount {
    let isPair = L.holdsSixteenRows && page + 2 <= pageCount
    let out = scores + page * n * 16
    if isPair {
      scorePages(L.self, F.self, a, unit, page, 2, queries, out)
    } else {
      scorePages(L.self, F.self, a, unit, page, 1, queries, out)
    }
    page += isPair ? 2 : 1
  }
  for query in 0..<n {
    let sum = softmax(
      L.self,
      F.self,
      a,
      unit,
      unit.head,
      scores + query * 16,
      n * 16,
      unit.visible(query)
    )
    // The results are scaled once at the end; the query's slot in `queries` keeps the factor.
    queries[query] = sum > 0 ? 1 / sum : 0
  }
  let whole = unit.visible(0) / PageGeometry.tokens
  for page in 0..<pageCount {
    let base =
      a.base + Int(unit.pages[page]) * g.pageBytes + g.valueOffset + unit.head * g.headBytes
    let weights = scores + page * n * 16
    if page < whole {
      var chunk = 0
      if L.holdsSixteenRows {
        while chunk + 2 <= chunks {
          let rows = base + chunk * F.bytes
          let first = results + chunk * n * 16
          let stride = chunks * F.bytes
          multiplyRowPairs(
            L.self,
            F.self,
            rows,
            rows + F.bytes,
            stride,
            weights,
            n,
            first,
            first + n * 16
          )
          chunk += 2
        }
      }
      while chunk < chunks {
        multiplyRows(
          L.self,
          F.self,
          base + chunk * F.bytes,
          chunks * F.bytes,
          weights,
          n,
          results + chunk * n * 16
        )
        chunk += 1
      }
    } else {
      for query in 0..<n {
        let count = min(16, unit.visible(query) - page * 16)
        guard count > 0 else { continue }
        for chunk in 0..<chunks {
          let result = results + (chunk * n + query) * 16
          var sum = V.load(result)
          for token in 0..<count {
            let value = F.load(L.self, base + (token * chunks + chunk) * F.bytes)
            sum = value.fma(V(repeating: weights[query * 16 + token]), sum)
          }
          sum.store(result)
        }
      }
    }
  }
  for query in 0..<n {
    let out = a.out + (unit.row + query) * a.outStride + unit.head * g.headDim
    for chunk in 0..<chunks {
      let value = V.load(results + (chunk * n + query) * 16) * V(repeating: queries[query])
      value.store(out + chunk * 16, count: g.headDim - chunk * 16)
    }
  }
}

/// Scaled scores of one page, or two, from `page` on for all queries of a unit; each query is read once for both.
@inlinable @inline(__always)
func scorePages<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ a: AttentionArguments,
  _ unit: AttentionUnit,
  _ page: Int,
  _ pages: Int,
  _ queries: UnsafePointer<Float>,
  _ scores: UnsafeMutablePointer<Float>
) {
  typealias V = SIMD16<Float>
  let g = a.geometry
  let n = unit.queries
  let heads = a.base + unit.head * g.headBytes
  var keys = heads + Int(unit.pages[page]) * g.pageBytes
  var otherKeys = heads + Int(unit.pages[page + pages - 1]) * g.pageBytes
  for query in 0..<(pages * n) { V(repeating: 0).store(scores + query * 16) }
  for chunk in 0..<(g.paddedDim / 16) {
    let q = queries + chunk * n * 16
    if pages == 2 {
      multiplyRowPairs(L.self, F.self, keys, otherKeys, F.bytes, q, n, scores, scores + n * 16)
    } else {
      multiplyRows(L.self, F.self, keys, F.bytes, q, n, scores)
    }
    keys += 16 * F.bytes
    otherKeys += 16 * F.bytes
  }
  for place in 0..<pages {
    let factor = scoreFactor(L.self, F.self, a, Int(unit.pages[page + place]), unit.head)
    for query in (place * n)..<((place + 1) * n) {
      (V.load(scores + query * 16) * factor).store(scores + query * 16)
    }
  }
}

/// The factor of each score of a page and head: the scale of the attention, and that of each key.
@inlinable @inline(__always)
func scoreFactor<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ a: AttentionArguments,
  _ page: Int,
  _ head: Int
) -> SIMD16<Float> {
  let factor = SIMD16<Float>(repeating: a.scale)
  guard F.isScaled else { return factor }
  let base = a.base + page * a.geometry.pageBytes + a.geometry.keyScaleOffset
  return factor * SIMD16.load(base.assumingMemoryBound(to: Float.self) + head * 16)
}

/// Turns the scores of one query into weights in place and returns their sum; weights of keys that
/// the query does not see become zero, weights of int8 values absorb their scales.
@inlinable @inline(__always)
func softmax<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ a: AttentionArguments,
  _ unit: AttentionUnit,
  _ head: Int,
  _ scores: UnsafeMutablePointer<Float>,
  _ stride: Int,
  _ visible: Int
) -> Float {
  typealias V = SIMD16<Float>
  guard visible > 0 else { return 0 }
  let pages = (visible + 15) / 16
  let last = scores + (pages - 1) * stride
  V.load(last).hiding(L.self, from: visible - (pages - 1) * 16, -.infinity).store(last)
  var top = V(repeating: -.infinity)
  for page in 0..<pages { top = L.max(top, V.load(scores + page * stride)) }
  let largest = V(repeating: top.horizontalMax(L.self))
  var sum = V(repeating: 0)
  for page in 0..<pages {
    let p = scores + page * stride
    let seen = visible - page * 16
    sum = sum + weigh(L.self, F.self, a, p, largest, seen, unit.pages[page], head)
  }
  return sum.horizontalSum
}

/// Turns the scores of one query, page and head into weights in place, of which the first `seen` count.
///
/// Weights of int8 values absorb their scales; those returned have none.
@inlinable @inline(__always)
func weigh<L: Lanes, F: FloatFormat>(
  _: L.Type,
  _: F.Type,
  _ a: AttentionArguments,
  _ p: UnsafeMutablePointer<Float>,
  _ largest: SIMD16<Float>,
  _ seen: Int,
  _ page: Int32,
  _ head: Int
) -> SIMD16<Float> {
  typealias V = SIMD16<Float>
  let weights = Transcendentals.exp(L.self, V.load(p) - largest).hiding(L.self, from: seen, 0)
  if F.isScaled {
    let g = a.geometry
    let base = a.base + Int(page) * g.pageBytes + g.valueScaleOffset
    let scaled = weights * V.load(base.assumingMemoryBound(to: Float.self) + head * 16)
    // A scale that was never stored may be NaN: its weight stays zero.
    scaled.hiding(L.self, from: seen, 0).store(p)
  } else {
    weights.store(p)
  }
  return weights
}

extension SIMD16<Float> {
  /// The first `count` lanes, then `value`.
  @inlinable @inline(__always)
  func hiding<L: Lanes>(_: L.Type, from count: Int, _ value: Float) -> Self {
    guard count < 16 else { return self }
    let lanes = Self(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
    return L.select(Self(repeating: Float(count)), above: lanes, self, Self(repeating: value))
  }
}
