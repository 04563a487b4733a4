// Writes keys and values into pages, converting to the element type.

/// Stores heads `lower..<upper` of every token.
@inlinable @inline(__always)
public func storePages<L: Lanes>(_: L.Type, _ a: StoreArguments, _ lower: Int, _ upper: Int) {
  for token in 0..<a.tokens {
    let position = a.start + token
    let page =
      a.base + Int(a.pages[position / PageGeometry.tokens]) * a.geometry.pageBytes
    for head in lower..<upper {
      let ahead = min(token + 8, a.tokens - 1)
      fetchHead(L.self, a.keys + (ahead * a.keyStride + head * a.geometry.headDim), a.geometry)
      fetchHead(L.self, a.values + (ahead * a.valueStride + head * a.geometry.headDim), a.geometry)
      storeHead(
        L.self,
        a.geometry,
        page,
        head,
        position % PageGeometry.tokens,
        a.keys + token * a.keyStride + head * a.geometry.headDim,
        a.values + token * a.valueStride + head * a.geometry.headDim
      )
    }
  }
}

/// Fetches one head of a token: tokens lie too far apart for a processor to foresee.
@inlinable @inline(__always)
func fetchHead<L: Lanes>(_: L.Type, _ x: UnsafePointer<Float>, _ g: PageGeometry) {
  for d in stride(from: 0, to: g.headDim, by: 16) { L.prefetch(x + d) }
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
    let keyTop = largestMagnitude(L.self, key, g.headDim)
    let valueTop = largestMagnitude(L.self, value, g.headDim)
    keyInverse = keyTop > 0 ? 127 / keyTop : 0
    valueInverse = valueTop > 0 ? 127 / valueTop : 0
    let scales = (page + g.keyScaleOffset).assumingMemoryBound(to: Float.self)
    scales[head * 16 + slot] = keyTop / 127
    scales[(g.heads + head) * 16 + slot] = valueTop / 127
  }
  var d = 0
  while d < g.paddedDim {
    let count = g.headDim - d
    // A vector of the key is scattered over 16 rows of the page, through `staged`.
    let k = SIMD16<Float>.load(key + d, count: count)
    let v = SIMD16<Float>.load(value + d, count: count)
    switch g.element {
    case .float32:
      v.store((values + d * 4).assumingMemoryBound(to: Float.self))
      for lane in 0..<16 {
        keys.storeBytes(of: k[lane], toByteOffset: (d + lane) * 64, as: Float.self)
      }
    case .float16:
      L.storeFloat16(finite(L.self, v), to: values + d * 2)
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
      L.storeInt8(rounded(v * SIMD16(repeating: valueInverse)), to: values + d)
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
