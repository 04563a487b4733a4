// Products with int8 and 4-bit codebook weights: one body for one token and for twelve, for every
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

/// Accumulators of a pass over one tile of tokens and a group of row tiles.
///
/// int32 `[token][16 rows]` of the row tile at hand, then float32 `[row tile][token][16 rows]`.
public struct LinearScratch {
  /// Row tiles that share a pass: while they go through 256 k, the activations of these k stay in
  /// the first-level cache.
  @inlinable public static var rowTiles: Int { 4 }
  /// Most tokens of a panel: its sums take the place of those of a group.
  @inlinable public static var panelTokens: Int { rowTiles * TokenTiles.limit }
  /// Bytes to allocate, 64-byte aligned, one for each thread.
  public static var bytes: Int {
    (1 + rowTiles) * TokenTiles.limit * 64 + ActivationRecord.scaleBlock * 16 * 2
  }
  /// First byte.
  @usableFromInline let base: UnsafeMutableRawPointer

  /// Wraps `bytes` bytes at `base`.
  @inlinable public init(_ base: UnsafeMutableRawPointer) { self.base = base }

  @inlinable @inline(__always)
  var integers: UnsafeMutableRawPointer { base }

  /// Room for 256 k of 16 rows as int16.
  @inlinable @inline(__always)
  public var panel: UnsafeMutableRawPointer { base + (1 + Self.rowTiles) * TokenTiles.limit * 64 }

  /// Sums of a row tile, `[token][16 rows]`.
  @inlinable @inline(__always)
  public func floats(_ index: Int) -> UnsafeMutablePointer<Float> {
    (base + (1 + index) * TokenTiles.limit * 64).assumingMemoryBound(to: Float.self)
  }
}

/// Row tiles `lower..<upper` of a product, all tokens, any encoding.
///
/// Maths: `y[t, r] = rowScale[r] · Σ_b fma(float(Σ_g s[g, r] · Σ_k c[k, r] · q[t, k]), a[t, b])`
/// with blocks b of 256 k in increasing order. Reads every weight byte of the tiles once per tile
/// of tokens.
@inlinable @inline(__always)
public func linearTiles<L: Lanes>(
  _: L.Type,
  _ a: LinearArguments,
  _ lower: Int,
  _ upper: Int,
  _ scratch: LinearScratch
) {
  let isQuantized = a.encoding.rawValue >= WeightEncoding.q8.rawValue
  let isPanel = isQuantized && a.tokens >= L.panelTokens
  let tiles = isQuantized ? TokenTiles(L.self, quantized: a.tokens) : TokenTiles(a.tokens)
  // One token has no reuse: its weights are read as one stream.
  let group = a.tokens > 1 && !isPanel ? LinearScratch.rowTiles : 1
  var first = 0
  while first < a.tokens {
    let pass = LinearPass(first: first, tokens: tiles.count(at: first), scratch: scratch)
    var tile = lower
    while tile < upper {
      let end = min(tile + group, upper)
      switch a.encoding {
      case _ where isPanel: L.multiplyPanel(a, pass, tile)
      case .q4g32: quantizedTiles(L.self, FourBitGroup32.self, a, pass, tile, end)
      case .q4g16: quantizedTiles(L.self, FourBitGroup16.self, a, pass, tile, end)
      case .q8: quantizedTiles(L.self, EightBit.self, a, pass, tile, end)
      case .f32: floatTiles(L.self, Float32Format.self, a, pass, tile, end)
      case .bf16: floatTiles(L.self, BFloat16Format.self, a, pass, tile, end)
      }
      for index in 0..<(end - tile) { finishTile(L.self, a, pass, tile + index, index) }
      tile = end
    }
    first += tiles.width
  }
}

/// The tokens of one pass over row tiles, and its accumulators.
public struct LinearPass {
  /// First token.
  public let first: Int
  /// Number of tokens.
  public let tokens: Int
  /// Accumulators.
  public let scratch: LinearScratch

  @inlinable @inline(__always)
  init(first: Int, tokens: Int, scratch: LinearScratch) {
    self.first = first
    self.tokens = tokens
    self.scratch = scratch
  }
}

/// Products of row tiles `lower..<upper`, at most `LinearScratch.rowTiles`, and one token tile,
/// before row scales, into `floats` of the scratch.
@inlinable @inline(__always)
func quantizedTiles<L: Lanes, F: CodeFormat>(
  _: L.Type,
  _: F.Type,
  _ a: LinearArguments,
  _ pass: LinearPass,
  _ lower: Int,
  _ upper: Int
) {
  let table = withUnsafePointer(to: a.codebook) { L.table(UnsafeRawPointer($0)) }
  let tokens = pass.tokens
  let records = a.columns / ActivationRecord.count
  let blocks = (a.columns + ActivationRecord.scaleBlock - 1) / ActivationRecord.scaleBlock
  let recordsInBlock = ActivationRecord.scaleBlock / ActivationRecord.count
  let activations = a.activations + pass.first * records * ActivationRecord.bytes
  let activationScales = a.activationScales + pass.first * blocks
  let integers = pass.scratch.integers
  let zero = SIMD16<Int32>(repeating: 0)

  for block in 0..<blocks {
    let firstRecord = block * recordsInBlock
    let count = min(recordsInBlock, records - firstRecord)
    for tile in lower..<upper {
      let floats = pass.scratch.floats(tile - lower)
      for token in 0..<tokens {
        integers.storeBytes(of: zero, toByteOffset: token * 64, as: SIMD16<Int32>.self)
      }
      var codes = a.codes + tile * a.tileBytes + firstRecord * F.blockBytes
      var scales = a.groupScales + (tile * a.groups + firstRecord * F.groups) * 16
      var x = activations + firstRecord * tokens * ActivationRecord.bytes
      for _ in 0..<count {
        quantizedRecord(L.self, F.self, table, codes, scales, x, tokens, integers)
        codes += F.blockBytes
        scales += F.groups * 16
        x += tokens * ActivationRecord.bytes
      }
      for token in 0..<tokens {
        let sums = integers.load(fromByteOffset: token * 64, as: SIMD16<Int32>.self)
        let scale = SIMD16<Float>(repeating: activationScales[block * tokens + token])
        let total =
          block == 0 ? SIMD16<Float>(repeating: 0) : SIMD16<Float>.load(floats + token * 16)
        L.float(sums).fma(scale, total).store(floats + token * 16)
      }
    }
  }
}

/// Adds the products of 32 k of 16 rows with `tokens` tokens to `integers [token][16]`.
///
/// Weights are unpacked once and stay in registers; sums go through the first-level cache, which
/// costs nothing beside eight dot products.
@inlinable @inline(__always)
func quantizedRecord<L: Lanes, F: CodeFormat>(
  _: L.Type,
  _: F.Type,
  _ table: L.Table,
  _ codes: UnsafeRawPointer,
  _ scales: UnsafeRawPointer,
  _ x: UnsafeRawPointer,
  _ tokens: Int,
  _ integers: UnsafeMutableRawPointer
) {
  let correction = F.groups == 2 ? ActivationRecord.halfCorrections : ActivationRecord.supplement
  var line = 0
  while line < F.blockBytes {
    L.prefetch(codes + (4096 + line))
    line += 64
  }
  L.prefetch(scales + 512)
  var part = 0
  while part < 16 {
    let partCodes = codes + part * 4
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
    var record = x
    var sums = integers + part * 4
    let end = record + tokens * ActivationRecord.bytes
    repeat {
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
        if L.splitsChains {
          var e = L.zero
          e = L.dot(e, w4, record + 16, scale)
          e = L.dot(e, w5, record + 20, scale)
          e = L.dot(e, w6, record + 24, scale)
          e = L.dot(e, w7, record + 28, scale)
          d = L.add(d, e)
        } else {
          d = L.dot(d, w4, record + 16, scale)
          d = L.dot(d, w5, record + 20, scale)
          d = L.dot(d, w6, record + 24, scale)
          d = L.dot(d, w7, record + 28, scale)
        }
        L.store(L.end(total, d, scale), to: sums)
      }
      record += ActivationRecord.bytes
      sums += 64
    } while record < end
    part += L.partRows
  }
}

/// Row scale, bias, output scale, and the store or addition into `y`.
@inlinable @inline(__always)
func finishTile<L: Lanes>(
  _: L.Type,
  _ a: LinearArguments,
  _ pass: LinearPass,
  _ tile: Int,
  _ index: Int
) {
  let floats = pass.scratch.floats(index)
  let row = tile * 16
  let count = min(16, a.rows - row)
  let one = SIMD16<Float>(repeating: 1)
  let rowScale =
    a.encoding.rawValue >= WeightEncoding.q8.rawValue
    ? SIMD16<Float>.load(a.rowScales + row) : one
  for token in 0..<pass.tokens {
    var value = SIMD16<Float>.load(floats + token * 16) * rowScale
    if let bias = a.bias { value = value + SIMD16<Float>.load(bias + row, count: count) }
    if let scale = a.outputScale {
      value =
        value
        * (a.outputScaleIsScalar
          ? SIMD16<Float>(repeating: scale[0]) : SIMD16<Float>.load(scale + row, count: count))
    }
    let y = a.y + (pass.first + token) * a.yStride + row
    if a.accumulates { value = SIMD16<Float>.load(y, count: count) + value }
    value.store(y, count: count)
  }
}
