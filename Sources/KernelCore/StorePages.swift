// Writes keys and values into pages, converting to the element type.

/// Stores heads `lower..<upper` of every token.
@inlinable @inline(__always)
public func storePages<L: Lanes>(_: L.Type, _ a: StoreArguments, _ lower: Int, _ upper: Int) {
  var token = 0
  while token < a.tokens {
    let position = a.start + token
    let slot = position % PageGeometry.tokens
    let page =
      a.base + Int(a.pages[position / PageGeometry.tokens]) * a.geometry.pageBytes
    let isWhole = slot == 0 && token + PageGeometry.tokens <= a.tokens
    for head in lower..<upper {
      let key = a.keys + (token * a.keyStride + head * a.geometry.headDim)
      let value = a.values + (token * a.valueStride + head * a.geometry.headDim)
      if isWhole {
        storeWholeHead(L.self, a, page, head, key, value)
      } else {
        storeHead(L.self, a.geometry, page, head, slot, key, value)
      }
    }
    token += isWhole ? PageGeometry.tokens : 1
  }
}

/// Stores one head of the 16 tokens of a page.
///
/// The same values as `storeHead`. A key's dimensions are rows of the page: 16 keys are turned by 16 dimensions at a
/// time. The tokens of the next page are fetched meanwhile, which lie too far apart for a processor to foresee.
@inlinable @inline(__always)
func storeWholeHead<L: Lanes>(
  _: L.Type,
  _ a: StoreArguments,
  _ page: UnsafeMutableRawPointer,
  _ head: Int,
  _ key: UnsafePointer<Float>,
  _ value: UnsafePointer<Float>
) {
  typealias V = SIMD16<Float>
  let g = a.geometry
  let width = g.element.bytes
  let keys = page + head * g.headBytes
  let values = page + g.valueOffset + head * g.headBytes
  var keyInverses = V(repeating: 1)
  var valueInverses = V(repeating: 1)
  if g.element == .int8 {
    for token in 0..<PageGeometry.tokens {
      let k = key + token * a.keyStride
      let v = value + token * a.valueStride
      (keyInverses[token], valueInverses[token]) = storeScales(L.self, g, page, head, token, k, v)
    }
  }
  var d = 0
  while d < g.paddedDim {
    let count = g.headDim - d
    for token in 0..<PageGeometry.tokens {
      L.prefetch(key + ((PageGeometry.tokens + token) * a.keyStride + d))
      L.prefetch(value + ((PageGeometry.tokens + token) * a.valueStride + d))
    }
    turned(key + d, a.keyStride, count) { lane, k in
      storeElements(L.self, g.element, k * keyInverses, keys + (d + lane) * 16 * width)
    }
    for token in 0..<PageGeometry.tokens {
      let v = V.load(value + (token * a.valueStride + d), count: count)
      let inverse = V(repeating: valueInverses[token])
      storeElements(L.self, g.element, v * inverse, values + (token * g.paddedDim + d) * width)
    }
    d += 16
  }
}

/// Reads 16 vectors of `count` values, then zeros, at `p`, `p + stride` …, and calls `body` for each lane with its
/// values in all of them.
@inlinable @inline(__always)
func turned(
  _ p: UnsafePointer<Float>,
  _ stride: Int,
  _ count: Int,
  _ body: (Int, SIMD16<Float>) -> Void
) {
  typealias V = SIMD16<Float>
  withUnsafeTemporaryAllocation(of: V.self, capacity: 32) { vectors in
    for row in 0..<16 { vectors[row] = V.load(p + row * stride, count: count) }
    // The lanes of vectors i and i + 8 in turns become vectors 2i and 2i + 1: four rounds turn the square.
    for round in 0..<4 {
      let (from, to) = round % 2 == 0 ? (0, 16) : (16, 0)
      for index in 0..<8 {
        let (a, b) = (vectors[from + index], vectors[from + index + 8])
        vectors[to + 2 * index] = inTurns(a.lowHalf, b.lowHalf)
        vectors[to + 2 * index + 1] = inTurns(a.highHalf, b.highHalf)
      }
    }
    for lane in 0..<16 { body(lane, vectors[lane]) }
  }
}

/// The lanes of `a` and `b` in turns.
@inlinable @inline(__always)
func inTurns(_ a: SIMD8<Float>, _ b: SIMD8<Float>) -> SIMD16<Float> {
  var v = SIMD16<Float>()
  v.evenHalf = a
  v.oddHalf = b
  return v
}

/// Converts 16 values to the element type: int8 after scaling.
@inlinable @inline(__always)
func storeElements<L: Lanes>(
  _: L.Type,
  _ element: PageElement,
  _ v: SIMD16<Float>,
  _ out: UnsafeMutableRawPointer
) {
  switch element {
  case .float32: v.store(out.assumingMemoryBound(to: Float.self))
  case .float16: L.storeFloat16(finite(L.self, v), to: out)
  case .int8: L.storeInt8(rounded(v), to: out)
  }
}

/// Stores one head of one token.
@inlinable @inline(__always)
func storeHead<L: Lanes>(
  _: L.Type,
  _ g: PageGeometry,
  _ page: UnsafeMutableRawPointer,
  _ head: Int,
  _ slot: Int,
  _ key: UnsafePointer<Float>,
  _ value: UnsafePointer<Float>
) {
  let width = g.element.bytes
  let keys = page + head * g.headBytes + slot * width
  let values = page + g.valueOffset + head * g.headBytes + slot * g.paddedDim * width
  var keyInverse: Float = 1
  var valueInverse: Float = 1
  if g.element == .int8 {
    (keyInverse, valueInverse) = storeScales(L.self, g, page, head, slot, key, value)
  }
  var d = 0
  while d < g.paddedDim {
    let count = g.headDim - d
    // A vector of the key is scattered over 16 rows of the page, through `staged`.
    let k = SIMD16<Float>.load(key + d, count: count)
    let v = SIMD16<Float>.load(value + d, count: count)
    storeElements(L.self, g.element, v * SIMD16(repeating: valueInverse), values + d * width)
    switch g.element {
    case .float32:
      for lane in 0..<16 {
        keys.storeBytes(of: k[lane], toByteOffset: (d + lane) * 64, as: Float.self)
      }
    case .float16:
      var staged = SIMD16<UInt16>(repeating: 0)
      withUnsafeMutableBytes(of: &staged) { bytes in
        guard let base = bytes.baseAddress else { return }
        L.storeFloat16(finite(L.self, k), to: base)
        for lane in 0..<16 {
          let bits = base.load(fromByteOffset: lane * 2, as: UInt16.self)
          keys.storeBytes(of: bits, toByteOffset: (d + lane) * 32, as: UInt16.self)
        }
      }
    case .int8:
      let codes = rounded(k * SIMD16(repeating: keyInverse))
      for lane in 0..<16 {
        keys.storeBytes(
          of: Int8(truncatingIfNeeded: codes[lane]),
          toByteOffset: (d + lane) * 16,
          as: Int8.self
        )
      }
    }
    d += 16
  }
}

/// Stores the scales of an int8 key and value, and returns what turns these into codes.
@inlinable @inline(__always)
func storeScales<L: Lanes>(
  _: L.Type,
  _ g: PageGeometry,
  _ page: UnsafeMutableRawPointer,
  _ head: Int,
  _ slot: Int,
  _ key: UnsafePointer<Float>,
  _ value: UnsafePointer<Float>
) -> (key: Float, value: Float) {
  let scales = (page + g.keyScaleOffset).assumingMemoryBound(to: Float.self)
  let keyTop = largestMagnitude(L.self, key, g.headDim)
  let valueTop = largestMagnitude(L.self, value, g.headDim)
  scales[head * 16 + slot] = keyTop / 127
  scales[(g.heads + head) * 16 + slot] = valueTop / 127
  return (keyTop > 0 ? 127 / keyTop : 0, valueTop > 0 ? 127 / valueTop : 0)
}

/// Clamped to the finite float16 range; NaN stays NaN.
@inlinable @inline(__always)
func finite<L: Lanes>(_: L.Type, _ v: SIMD16<Float>) -> SIMD16<Float> {
  L.min(SIMD16(repeating: 65504), L.max(SIMD16(repeating: -65504), v))
}

/// Nearest integers of values below 2^22, ties to even.
@inlinable @inline(__always)
func rounded(_ v: SIMD16<Float>) -> SIMD16<Int32> {
  // Adding 1.5·2^23 leaves the rounded integer in the low bits.
  let magic = SIMD16<Float>(repeating: 12_582_912)
  return unsafeBitCast(v + magic, to: SIMD16<Int32>.self)
    &- unsafeBitCast(magic, to: SIMD16<Int32>.self)
}

/// The largest magnitude of `count` values.
@inlinable @inline(__always)
func largestMagnitude<L: Lanes>(_: L.Type, _ x: UnsafePointer<Float>, _ count: Int) -> Float {
  var top = SIMD16<Float>(repeating: 0)
  var k = 0
  while k < count {
    top = L.max(top, SIMD16<Float>.load(x + k, count: count - k).magnitudes)
    k += 16
  }
  return top.horizontalMax(L.self)
}
