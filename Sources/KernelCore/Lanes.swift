// What an instruction set must offer for the kernel bodies of this room. Bodies are written once,
// generic over `Lanes`, and specialised in one small target per instruction set.
//
// Numerics of record, on which bit-identity rests:
//   - a lane is an output row, a key token or a head dimension, so lanes never mix, except in the
//     fixed-order trees of `horizontalSum` and in maxima;
//   - products of quantised weights are exact in int32 over a block of 256 k, group scales
//     included: 127 (weight) · 127 (activation) · 127 (scale) · 256 = 524,386,048 < 2^31; then one
//     fused multiply-add into float32 per block, in increasing k;
//   - float32 products are fused multiply-adds in increasing k;
//   - only correctly rounded operations are used: + − · / fma, conversions to nearest even.

/// Primitive operations of one instruction set.
///
/// Conformers are empty enums.
public protocol Lanes: ProductLanes {
  // MARK: float32, sixteen lanes

  /// Nearest float32 of each int32, ties to even.
  static func float(_ v: SIMD16<Int32>) -> SIMD16<Float>
  /// `a > b ? a : b`: a NaN in `b` is kept.
  static func max(_ a: SIMD16<Float>, _ b: SIMD16<Float>) -> SIMD16<Float>
  /// `a < b ? a : b`: a NaN in `b` is kept.
  static func min(_ a: SIMD16<Float>, _ b: SIMD16<Float>) -> SIMD16<Float>
  /// 16 int8, widened.
  static func loadInt8(_ p: UnsafeRawPointer) -> SIMD16<Int32>
  /// Stores the low bytes of 16 int32.
  static func storeInt8(_ v: SIMD16<Int32>, to p: UnsafeMutableRawPointer)
  /// 16 float16, widened exactly.
  static func loadFloat16(_ p: UnsafeRawPointer) -> SIMD16<Float>
  /// Stores 16 float32 rounded to nearest even float16.
  static func storeFloat16(_ v: SIMD16<Float>, to p: UnsafeMutableRawPointer)
  /// 16 bfloat16, widened exactly.
  static func loadBFloat16(_ p: UnsafeRawPointer) -> SIMD16<Float>
  /// Hints that the cache line at `p` will be read.
  static func prefetch(_ p: UnsafeRawPointer)
  /// Hints that what lies at `p` will be read later: fetches its cache line into the second level.
  static func prefetchFar(_ p: UnsafeRawPointer)

  /// `a > b ? x : y`.
  static func select(
    _ a: SIMD16<Float>,
    above b: SIMD16<Float>,
    _ x: SIMD16<Float>,
    _ y: SIMD16<Float>
  ) -> SIMD16<Float>
  /// The number of the last entry whose first position, from entry 1 on, is not above `position`; 0 for NaN.
  static func nearestCode(_ position: SIMD16<Float>, _ firsts: SIMD16<Float>) -> SIMD16<UInt32>
  /// The entry of that number.
  static func nearest(
    _ position: SIMD16<Float>,
    _ entries: SIMD16<Float>,
    _ firsts: SIMD16<Float>
  ) -> SIMD16<Float>

  /// Whether 16 vectors of 16 float32, and some to work with, fit the registers.
  static var holdsSixteenRows: Bool { get }

  // MARK: integer products, see `ProductLanes`

  /// Sixteen int8 values in the form that `low` and `high` take.
  associatedtype Table

  /// The lookup table of a codebook of 16 int8 at `p`.
  static func table(_ p: UnsafeRawPointer) -> Table
  /// Weights of the low nibbles (k…k+3) of the part at `p`.
  static func low(_ p: UnsafeRawPointer, _ table: Table) -> Weights
  /// Weights of the high nibbles (k+4…k+7) of the part at `p`.
  static func high(_ p: UnsafeRawPointer, _ table: Table) -> Weights
  /// The int8 weights of the part at `p`.
  static func bytes(_ p: UnsafeRawPointer) -> Weights
  /// Group scales of the part: `partRows` int8 at `p`.
  static func groupScale(_ p: UnsafeRawPointer) -> GroupScale
  /// Reads sums that `store` has written.
  static func load(_ p: UnsafeRawPointer) -> Sums
  /// Tokens whose sums, and some registers to work with, fit the registers: 1...12.
  static var tokensAtOnce: Int { get }
  /// The sum of two chains.
  static func add(_ a: Sums, _ b: Sums) -> Sums
  /// Completes the second half of an `ActivationRecord` whose 32 int8 codes are in place.
  static func complete(_ record: UnsafeMutableRawPointer)

  /// The multiply-add instructions of `dot` alone, whatever the result: the yardstick of peak rates.
  static func bareDot(
    _ sums: Sums,
    _ weights: Weights,
    _ x: UnsafeRawPointer,
    _ scale: GroupScale
  ) -> Sums

  // MARK: integer products of many tokens, see `panelTiles`

  /// Fewest tokens of a call that take panels; `Int.max` where there are none.
  static var panelTokens: Int { get }
  /// Most tokens of the tiles that `multiplyPanel` takes.
  static var panelUnit: Int { get }
  /// Whether these tiles are of about the same width; else all but the last have `panelUnit` tokens.
  static var hasEvenPanels: Bool { get }
  /// Turns 32 int8 codes into the record that `multiplyPanel` reads.
  static func completePanel(_ record: UnsafeMutableRawPointer)
  /// Unpacks weights into a panel, in a form of the instruction set's own.
  static func fillPanel(
    _ a: LinearArguments,
    _ source: PanelSource,
    _ panel: UnsafeMutableRawPointer
  )
  /// Adds the products of a panel with all tokens, tile by tile, to their sums.
  static func multiplyPanel(
    _ a: LinearArguments,
    _ source: PanelSource,
    _ tokens: PanelTokens,
    _ ahead: PanelAhead
  )
}

extension Lanes {
  /// Same as `dot`.
  @inlinable @inline(__always)
  public static func bareDot(
    _ sums: Sums,
    _ weights: Weights,
    _ x: UnsafeRawPointer,
    _ scale: GroupScale
  ) -> Sums {
    dot(sums, weights, x, scale)
  }
  /// No tokens take a panel.
  @inlinable @inline(__always)
  public static var panelTokens: Int { .max }
  /// No tokens take a panel.
  @inlinable @inline(__always)
  public static var panelUnit: Int { 1 }
  /// Tiles of one token.
  @inlinable @inline(__always)
  public static var hasEvenPanels: Bool { false }
  /// Same as `complete`.
  @inlinable @inline(__always)
  public static func completePanel(_ record: UnsafeMutableRawPointer) { complete(record) }
  /// Never called.
  @inlinable @inline(__always)
  public static func fillPanel(
    _ a: LinearArguments,
    _ source: PanelSource,
    _ panel: UnsafeMutableRawPointer
  ) {}
  /// Never called.
  @inlinable @inline(__always)
  public static func multiplyPanel(
    _ a: LinearArguments,
    _ source: PanelSource,
    _ tokens: PanelTokens,
    _ ahead: PanelAhead
  ) {}
}

extension TokenTiles {
  /// The tiles of a product with quantised weights.
  @inlinable @inline(__always)
  init<L: Lanes>(_: L.Type, quantized tokens: Int) {
    if tokens < L.panelTokens {
      self.init(tokens, limit: L.tokensAtOnce)
    } else if L.hasEvenPanels {
      self.init(tokens, limit: L.panelUnit)
    } else {
      self.init(tokens, width: L.panelUnit)
    }
  }
}

/// 32 int8 activations of one token and what an instruction set needs beside them: one cache line.
///
/// Bytes 0…31 are the codes in increasing k. Bytes 32…63 belong to the instruction set: nothing,
/// their absolute values, or three int32 (minus 128 times the sum of all, the first 16, the last 16).
public enum ActivationRecord {
  /// Activations of a record.
  @inlinable public static var count: Int { 32 }
  /// Bytes of a record.
  @inlinable public static var bytes: Int { 64 }
  /// Offset of the second half, and of the correction of all 32 codes.
  @inlinable public static var supplement: Int { 32 }
  /// Offset of the correction of the first 16 codes; that of the last 16 follows.
  @inlinable public static var halfCorrections: Int { 36 }
  /// Activations that share one scale.
  @inlinable public static var scaleBlock: Int { 256 }
}
