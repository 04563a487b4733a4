// Quantises float32 activations to int8 with one scale for 256 consecutive k, in the arrangement
// that the matrix kernels read: tile of tokens by tile, record by record.

/// Quantises tokens `lower..<upper`: `q = round(x · 127 / max|x|)` over each block of 256 k,
/// scale `max|x| / 127`; the last record is padded with zeros.
///
/// Each record belongs to one token, so any split of the tokens gives the same bytes.
@inlinable @inline(__always)
public func quantizeActivations<L: Lanes>(
  _: L.Type,
  _ a: QuantizeArguments,
  _ lower: Int,
  _ upper: Int
) {
  let records = (a.columns + ActivationRecord.count - 1) / ActivationRecord.count
  let blocks = (a.columns + ActivationRecord.scaleBlock - 1) / ActivationRecord.scaleBlock
  let isPanel = a.tokens >= L.panelTokens
  let tiles = TokenTiles(L.self, quantized: a.tokens)
  for token in lower..<upper {
    let first = token / tiles.width * tiles.width
    let tileTokens = tiles.count(at: first)
    let x = a.x + token * a.stride
    let out = a.records + (first * records + (token - first)) * ActivationRecord.bytes
    let scales = a.scales + first * blocks + (token - first)
    for block in 0..<blocks {
      let start = block * ActivationRecord.scaleBlock
      let end = min(start + ActivationRecord.scaleBlock, a.columns)
      let largest = largestMagnitude(L.self, x + start, end - start)
      let inverse = largest > 0 ? 127 / largest : 0
      scales[block * tileTokens] = largest / 127
      var k = start
      while k < end {
        let record = out + k / ActivationRecord.count * tileTokens * ActivationRecord.bytes
        quantizeHalf(L.self, x + k, end - k, inverse, record)
        quantizeHalf(L.self, x + k + 16, end - k - 16, inverse, record + 16)
        if isPanel { L.completePanel(record) } else { L.complete(record) }
        k += ActivationRecord.count
      }
    }
  }
}

/// Sixteen codes at `out`; positions from `count` on are zero.
@inlinable @inline(__always)
func quantizeHalf<L: Lanes>(
  _: L.Type,
  _ x: UnsafePointer<Float>,
  _ count: Int,
  _ inverse: Float,
  _ out: UnsafeMutableRawPointer
) {
  let values = count > 0 ? SIMD16<Float>.load(x, count: count) : SIMD16<Float>(repeating: 0)
  L.storeInt8(rounded(values * SIMD16<Float>(repeating: inverse)), to: out)
}

/// Copies tokens `lower..<upper` to `[token tile][k block of 16][token][16]`, padded with zeros.
@inlinable @inline(__always)
public func packFloatActivations<L: Lanes>(
  _: L.Type,
  _ a: QuantizeArguments,
  _ lower: Int,
  _ upper: Int
) {
  let blocks = (a.columns + 15) / 16
  let tiles = TokenTiles(a.tokens)
  for token in lower..<upper {
    let first = token / tiles.width * tiles.width
    let tileTokens = tiles.count(at: first)
    let x = a.x + token * a.stride
    let out =
      a.records.assumingMemoryBound(to: Float.self) + (first * blocks + (token - first)) * 16
    for block in 0..<blocks {
      SIMD16<Float>.load(x + block * 16, count: a.columns - block * 16)
        .store(out + block * tileTokens * 16)
    }
  }
}
