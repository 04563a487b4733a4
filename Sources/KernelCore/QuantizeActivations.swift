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
    let first = tiles.first(of: token)
    let tileTokens = tiles.count(at: first)
    let x = a.x + token * a.stride
    for block in 0..<blocks {
      let start = block * ActivationRecord.scaleBlock
      let end = min(start + ActivationRecord.scaleBlock, a.columns)
      let place = PackedPlace(isPanel, block, first, tokens: a.tokens, tileTokens, records, blocks)
      let out = a.records + (place.record + (token - first)) * ActivationRecord.bytes
      let largest = largestMagnitude(L.self, x + start, end - start)
      let inverse = largest > 0 ? 127 / largest : 0
      a.scales[place.scale + (token - first)] = largest / 127
      var k = start
      while k < end {
        let index = (k - start) / ActivationRecord.count
        let record = out + index * tileTokens * ActivationRecord.bytes
        quantizeHalf(L.self, x + k, end - k, inverse, record)
        quantizeHalf(L.self, x + k + 16, end - k - 16, inverse, record + 16)
        if isPanel { L.completePanel(record) } else { L.complete(record) }
        k += ActivationRecord.count
      }
    }
  }
}

/// Where the records and scales of 256 k of a tile of tokens begin: tiles lie one behind the other, but
/// 256 k of all tokens where these are multiplied before the next 256 k.
@usableFromInline
struct PackedPlace {
  /// Number of the first record.
  @usableFromInline let record: Int
  /// Number of the first scale.
  @usableFromInline let scale: Int

  /// The place of block `block`, of `blocks` in `records` records of a token, of the tile that begins
  /// at token `first`.
  @inlinable @inline(__always)
  init(
    _ isPanel: Bool,
    _ block: Int,
    _ first: Int,
    tokens: Int,
    _ tileTokens: Int,
    _ records: Int,
    _ blocks: Int
  ) {
    let recordsInBlock = ActivationRecord.scaleBlock / ActivationRecord.count
    let before = block * recordsInBlock
    if isPanel {
      record = before * tokens + first * min(recordsInBlock, records - before)
      scale = block * tokens + first
    } else {
      record = first * records + before * tileTokens
      scale = first * blocks + block * tileTokens
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
    let first = tiles.first(of: token)
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
