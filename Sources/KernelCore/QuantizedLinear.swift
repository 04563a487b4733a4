// Products with int8 and 4-bit codebook weights: one body for one token and for sixteen, for every
// instruction set. Sixteen output rows at a time; codes are unpacked once for all tokens of a tile.

import Tensors

/// Where the codes and scales of 32 consecutive k lie in a tile.
@usableFromInline
protocol CodeFormat {
  /// Bytes of 32 k of the 16 rows.
  static var blockBytes: Int { get }
  /// Groups in 32 k.
  static var groups: Int { get }
  /// The weights of k = 4·index …, index 0…7.
  static func weights<L: Lanes>(
    _: L.Type,
    _ block: UnsafeRawPointer,
    _ index: Int,
    _ table: L.Table
  ) -> L.Weights
}

/// 4-bit codes, groups of 32.
@usableFromInline
enum FourBitGroup32: CodeFormat {
  @inlinable @inline(__always)
  static var blockBytes: Int { 256 }
  @inlinable @inline(__always)
  static var groups: Int { 1 }
  @inlinable @inline(__always)
  static func weights<L: Lanes>(
    _: L.Type,
    _ block: UnsafeRawPointer,
    _ index: Int,
    _ table: L.Table
  ) -> L.Weights {
    let line = block + index / 2 * 64
    return index % 2 == 0 ? L.low(line, table) : L.high(line, table)
  }
}

/// 4-bit codes, groups of 16.
@usableFromInline
enum FourBitGroup16: CodeFormat {
  @inlinable @inline(__always)
  static var blockBytes: Int { 256 }
  @inlinable @inline(__always)
  static var groups: Int { 2 }
  @inlinable @inline(__always)
  static func weights<L: Lanes>(
    _: L.Type,
    _ block: UnsafeRawPointer,
    _ index: Int,
    _ table: L.Table
  ) -> L.Weights {
    FourBitGroup32.weights(L.self, block, index, table)
  }
}

/// int8 codes, groups of 32.
@usableFromInline
enum EightBit: CodeFormat {
  @inlinable @inline(__always)
  static var blockBytes: Int { 512 }
  @inlinable @inline(__always)
  static var groups: Int { 1 }
  @inlinable @inline(__always)
  static func weights<L: Lanes>(
    _: L.Type,
    _ block: UnsafeRawPointer,
    _ index: Int,
    _ table: L.Table
  ) -> L.Weights {
    L.bytes(block + index * 64)
  }
}

/// Accumulators of one tile: int32 and float32 `[16 tokens][16 rows]`.
public struct LinearScratch {
  /// Bytes to allocate, 64-byte aligned, one for each thread.
  public static var bytes: Int { 2 * 16 * 64 }
  /// First byte.
  @usableFromInline let base: UnsafeMutableRawPointer

  /// Wraps `bytes` bytes at `base`.
  @inlinable public init(_ base: UnsafeMutableRawPointer) { self.base = base }

  @inlinable @inline(__always)
  var integers: UnsafeMutableRawPointer { base }

  @inlinable @inline(__always)
  var floats: UnsafeMutablePointer<Float> {
    (base + 16 * 64).assumingMemoryBound(to: Float.self)
  }
}

/// Row tiles `lower..<upper` of a product, all tokens, any encoding.
///
/// Maths: `y[t, r] = rowScale[r] · Σ_b fma(float(Σ_g s[g, r] · Σ_k c[k, r] · q[t, k]), a[t, b])`
/// with blocks b of 256 k in increasing order. Reads every weight byte of the tiles once per tile
/// of 16 tokens; 16 · 16 · k multiply-adds per pair of tiles.
@inlinable @inline(__always)
public func linearTiles<L: Lanes>(
  _: L.Type,
  _ a: LinearArguments,
  _ lower: Int,
  _ upper: Int,
  _ scratch: LinearScratch
) {
  var first = 0
  while first < a.tokens {
    let tokens = TokenTile.count(first, of: a.tokens)
    for tile in lower..<upper {
      switch a.encoding {
      case .q4g32: quantizedTile(L.self, FourBitGroup32.self, a, tile, first, tokens, scratch)
      case .q4g16: quantizedTile(L.self, FourBitGroup16.self, a, tile, first, tokens, scratch)
      case .q8: quantizedTile(L.self, EightBit.self, a, tile, first, tokens, scratch)
      case .f32: floatTile(L.self, Float32Format.self, a, tile, first, tokens, scratch)
      case .bf16: floatTile(L.self, BFloat16Format.self, a, tile, first, tokens, scratch)
      }
      finishTile(L.self, a, tile, first, tokens, scratch)
    }
    first += TokenTile.width
  }
}

/// Products of one row tile and one token tile, before row scales, into `scratch.floats`.
@inlinable @inline(__always)
func quantizedTile<L: Lanes, F: CodeFormat>(
  _: L.Type,
  _: F.Type,
  _ a: LinearArguments,
  _ tile: Int,
  _ first: Int,
  _ tokens: Int,
  _ scratch: LinearScratch
) {
  let table = withUnsafePointer(to: a.codebook) { L.table(UnsafeRawPointer($0)) }
  let records = a.columns / ActivationRecord.count
  let blocks = (a.columns + ActivationRecord.scaleBlock - 1) / ActivationRecord.scaleBlock
  let recordsInBlock = ActivationRecord.scaleBlock / ActivationRecord.count
  var codes = a.codes + tile * a.tileBytes
  var scales = a.groupScales + tile * a.groups * 16
  var x = a.activations + first * records * ActivationRecord.bytes
  let xScales = a.activationScales + first * blocks
  let integers = scratch.integers
  let floats = scratch.floats
  let zero = SIMD16<Int32>(repeating: 0)

  for token in 0..<tokens { SIMD16<Float>(repeating: 0).store(floats + token * 16) }
  for block in 0..<blocks {
    for token in 0..<tokens {
      integers.storeBytes(of: zero, toByteOffset: token * 64, as: SIMD16<Int32>.self)
    }
    for _ in (block * recordsInBlock)..<min((block + 1) * recordsInBlock, records) {
      var part = 0
      while part < 16 {
        let partCodes = codes + part * 4
        L.prefetch(partCodes + 4096)
        L.prefetch(partCodes + 4160)
        L.prefetch(partCodes + 4224)
        L.prefetch(partCodes + 4288)
        let w0 = F.weights(L.self, partCodes, 0, table)
        let w1 = F.weights(L.self, partCodes, 1, table)
        let w2 = F.weights(L.self, partCodes, 2, table)
        let w3 = F.weights(L.self, partCodes, 3, table)
        let w4 = F.weights(L.self, partCodes, 4, table)
        let w5 = F.weights(L.self, partCodes, 5, table)
        let w6 = F.weights(L.self, partCodes, 6, table)
        let w7 = F.weights(L.self, partCodes, 7, table)
        let scale = L.groupScale(scales + part)
        let second = F.groups == 2 ? L.groupScale(scales + 16 + part) : scale
        let correction =
          F.groups == 2 ? ActivationRecord.halfCorrections : ActivationRecord.supplement
        var record = x
        var sums = integers + part * 4
        for _ in 0..<tokens {
          let total = L.load(sums)
          var d = L.begin(total, correction: record + correction)
          d = L.dot(d, w0, record, scale)
          d = L.dot(d, w1, record + 4, scale)
          d = L.dot(d, w2, record + 8, scale)
          d = L.dot(d, w3, record + 12, scale)
          if F.groups == 2 {
            let half = L.end(total, d, scale)
            d = L.begin(half, correction: record + correction + 4)
            d = L.dot(d, w4, record + 16, second)
            d = L.dot(d, w5, record + 20, second)
            d = L.dot(d, w6, record + 24, second)
            d = L.dot(d, w7, record + 28, second)
            L.store(L.end(half, d, second), to: sums)
          } else {
            d = L.dot(d, w4, record + 16, scale)
            d = L.dot(d, w5, record + 20, scale)
            d = L.dot(d, w6, record + 24, scale)
            d = L.dot(d, w7, record + 28, scale)
            L.store(L.end(total, d, scale), to: sums)
          }
          record += ActivationRecord.bytes
          sums += 64
        }
        part += L.partRows
      }
      codes += F.blockBytes
      scales += F.groups * 16
      x += tokens * ActivationRecord.bytes
    }
    for token in 0..<tokens {
      let sums = integers.load(fromByteOffset: token * 64, as: SIMD16<Int32>.self)
      let scale = SIMD16<Float>(repeating: xScales[block * tokens + token])
      let total = SIMD16<Float>.load(floats + token * 16)
      L.float(sums).fma(scale, total).store(floats + token * 16)
    }
  }
}

/// Row scale, bias, output scale, and the store or addition into `y`.
@inlinable @inline(__always)
func finishTile<L: Lanes>(
  _: L.Type,
  _ a: LinearArguments,
  _ tile: Int,
  _ first: Int,
  _ tokens: Int,
  _ scratch: LinearScratch
) {
  let row = tile * 16
  let count = min(16, a.rows - row)
  let one = SIMD16<Float>(repeating: 1)
  let rowScale =
    a.encoding.rawValue >= WeightEncoding.q8.rawValue
    ? SIMD16<Float>.load(a.rowScales + row) : one
  for token in 0..<tokens {
    var value = SIMD16<Float>.load(scratch.floats + token * 16) * rowScale
    if let bias = a.bias { value = value + SIMD16<Float>.load(bias + row, count: count) }
    if let scale = a.outputScale {
      value =
        value
        * (a.outputScaleIsScalar
          ? SIMD16<Float>(repeating: scale[0]) : SIMD16<Float>.load(scale + row, count: count))
    }
    let y = a.y + (first + token) * a.yStride + row
    if a.accumulates { value = SIMD16<Float>.load(y, count: count) + value }
    value.store(y, count: count)
  }
}
