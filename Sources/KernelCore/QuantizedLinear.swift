// Products with int8 and 4-bit codebook weights: one body for every number of tokens and every
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
  // The fewer tokens, the longer the runs in which weights should come from memory; the more, the
  // more it pays to find activations in the first-level cache.
  let isOnePass = a.tokens <= tiles.width
  let group = a.tokens == 1 || isPanel ? 1 : isOnePass ? 2 : LinearScratch.rowTiles
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
  // A body for each number of tokens, up to what the registers of an instruction set hold.
  switch pass.tokens {
  case 2 where L.tokensAtOnce >= 2:
    quantizedTiles(TwoTokens<L>.self, F.self, a, pass, lower, upper)
  case 3 where L.tokensAtOnce >= 3:
    quantizedTiles(ThreeTokens<L>.self, F.self, a, pass, lower, upper)
  case 4 where L.tokensAtOnce >= 4:
    quantizedTiles(FourTokens<L>.self, F.self, a, pass, lower, upper)
  case 5 where L.tokensAtOnce >= 5:
    quantizedTiles(Tokens<ThreeTokens<L>, TwoTokens<L>>.self, F.self, a, pass, lower, upper)
  case 6 where L.tokensAtOnce >= 6:
    quantizedTiles(Tokens<ThreeTokens<L>, ThreeTokens<L>>.self, F.self, a, pass, lower, upper)
  case 7 where L.tokensAtOnce >= 7:
    quantizedTiles(Tokens<FourTokens<L>, ThreeTokens<L>>.self, F.self, a, pass, lower, upper)
  case 8 where L.tokensAtOnce >= 8:
    quantizedTiles(Tokens<FourTokens<L>, FourTokens<L>>.self, F.self, a, pass, lower, upper)
  default:
    quantizedTiles(OneToken<L>.self, F.self, a, pass, lower, upper)
  }
}

/// `quantizedTiles` for the tokens of a group of sums, which `pass` has.
@inlinable @inline(__always)
func quantizedTiles<S: TokenSums, F: CodeFormat>(
  _: S.Type,
  _: F.Type,
  _ a: LinearArguments,
  _ pass: LinearPass,
  _ lower: Int,
  _ upper: Int
) {
  typealias L = S.L
  let table = withUnsafePointer(to: a.codebook) { L.table(UnsafeRawPointer($0)) }
  let records = a.columns / ActivationRecord.count
  let blocks = (a.columns + ActivationRecord.scaleBlock - 1) / ActivationRecord.scaleBlock
  let recordsInBlock = ActivationRecord.scaleBlock / ActivationRecord.count
  let activations = a.activations + pass.first * records * ActivationRecord.bytes
  let activationScales = a.activationScales + pass.first * blocks

  for block in 0..<blocks {
    let first = block * recordsInBlock
    let count = min(recordsInBlock, records - first)
    let x = activations + first * S.count * ActivationRecord.bytes
    let blockScales = activationScales + block * S.count
    for tile in lower..<upper {
      let codes = a.codes + tile * a.tileBytes + first * F.blockBytes
      let scales = a.groupScales + (tile * a.groups + first * F.groups) * 16
      let floats = pass.scratch.floats(tile - lower)
      if block == 0 {
        for token in 0..<S.count { SIMD16<Float>(repeating: 0).store(floats + token * 16) }
      }
      if L.partRows == 16 {
        quantizedBlock(S.self, F.self, table, codes, scales, x, count)
          .addProducts(blockScales, floats)
        continue
      }
      let integers = pass.scratch.integers
      var part = 0
      while part < 16 {
        quantizedBlock(S.self, F.self, table, codes + part * 4, scales + part, x, count)
          .store(to: integers + part * 4)
        part += L.partRows
      }
      for token in 0..<S.count {
        let sums = integers.load(fromByteOffset: token * 64, as: SIMD16<Int32>.self)
        addProducts(L.self, sums, blockScales[token], floats + token * 16)
      }
    }
  }
}

/// `floats += scale · float(sums)`, rounded once.
@inlinable @inline(__always)
func addProducts<L: Lanes>(
  _: L.Type,
  _ sums: SIMD16<Int32>,
  _ scale: Float,
  _ floats: UnsafeMutablePointer<Float>
) {
  L.float(sums).fma(SIMD16<Float>(repeating: scale), SIMD16<Float>.load(floats)).store(floats)
}

/// Sums over `count` records, at most 256 k, of one part of a tile.
///
/// Everything but the operands stays in registers: weights are unpacked beside the products, which
/// other execution units do.
@inlinable @inline(__always)
func quantizedBlock<S: TokenSums, F: CodeFormat>(
  _: S.Type,
  _: F.Type,
  _ table: S.L.Table,
  _ codes: UnsafeRawPointer,
  _ scales: UnsafeRawPointer,
  _ x: UnsafeRawPointer,
  _ count: Int
) -> S {
  typealias L = S.L
  var totals = S.zero
  var codes = codes
  var scales = scales
  var x = x
  for _ in 0..<count {
    var line = 0
    while line < F.blockBytes {
      L.prefetch(codes + (4096 + line))
      line += 64
    }
    L.prefetch(scales + 512)
    let scale = L.groupScale(scales)
    var correction = ActivationRecord.supplement
    if F.groups == 2 { correction = ActivationRecord.halfCorrections }
    var products = totals.begin(correction: x + correction)
    products.add(F.weights(L.self, codes, 0, table), x, scale)
    products.add(F.weights(L.self, codes, 1, table), x + 4, scale)
    products.add(F.weights(L.self, codes, 2, table), x + 8, scale)
    products.add(F.weights(L.self, codes, 3, table), x + 12, scale)
    var second = scale
    if F.groups == 2 {
      totals.end(products, scale)
      second = L.groupScale(scales + 16)
      products = totals.begin(correction: x + correction + 4)
    }
    products.add(F.weights(L.self, codes, 4, table), x + 16, second)
    products.add(F.weights(L.self, codes, 5, table), x + 20, second)
    products.add(F.weights(L.self, codes, 6, table), x + 24, second)
    products.add(F.weights(L.self, codes, 7, table), x + 28, second)
    totals.end(products, second)
    codes += F.blockBytes
    scales += F.groups * 16
    x += S.count * ActivationRecord.bytes
  }
  return totals
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
