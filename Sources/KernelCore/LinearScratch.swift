// Memory that a thread works in while it multiplies.

/// Accumulators of a pass over one tile of tokens and a group of row tiles, and what panels need.
public struct LinearScratch {
  /// Row tiles that share a pass: while they go through 256 k, the activations of these k stay in
  /// the first-level cache.
  @inlinable public static var rowTiles: Int { 4 }
  /// Row tiles whose panels follow each other while the same activations stay in the second-level cache.
  @inlinable public static var panelRowTiles: Int { 8 }
  /// Most tokens of a call: what bounds the sums beside panels, and with them the second-level cache.
  @inlinable public static var mostTokens: Int { 576 }
  /// Bytes to allocate, 64-byte aligned, one for each thread.
  public static var bytes: Int { sumsOffset + panelRowTiles * mostTokens * 64 }

  /// Bytes of a row tile in a panel: 256 k of 16 rows as int16.
  @inlinable public static var panelBytes: Int { ActivationRecord.scaleBlock * 32 }
  @inlinable static var panelOffset: Int { (1 + rowTiles) * TokenTiles.limit * 64 }
  @inlinable static var sumsOffset: Int { panelOffset + PanelSource.mostRowTiles * panelBytes }

  /// First byte.
  @usableFromInline let base: UnsafeMutableRawPointer

  /// Wraps `bytes` bytes at `base`.
  @inlinable public init(_ base: UnsafeMutableRawPointer) { self.base = base }

  /// int32 `[token][16 rows]` of the row tile at hand.
  @inlinable @inline(__always)
  var integers: UnsafeMutableRawPointer { base }

  /// Sums of a row tile of the group, `[token][16 rows]`.
  @inlinable @inline(__always)
  func floats(_ index: Int) -> UnsafeMutablePointer<Float> {
    (base + (1 + index) * TokenTiles.limit * 64).assumingMemoryBound(to: Float.self)
  }

  /// The panel at hand.
  @inlinable @inline(__always)
  var panel: UnsafeMutableRawPointer { base + Self.panelOffset }

  /// Sums of all tokens beside panels, `[panel][token][row tile][16 rows]`.
  @inlinable @inline(__always)
  var sums: UnsafeMutablePointer<Float> {
    (base + Self.sumsOffset).assumingMemoryBound(to: Float.self)
  }

  /// The part of `sums` from row tile `index`, the first of a panel, on.
  @inlinable @inline(__always)
  func sums(_ index: Int, tokens: Int) -> UnsafeMutablePointer<Float> {
    sums + index * tokens * 16
  }
}

/// The tokens of one pass over row tiles, and its accumulators.
@usableFromInline
struct LinearPass {
  /// First token.
  @usableFromInline let first: Int
  /// Number of tokens.
  @usableFromInline let tokens: Int
  /// Accumulators.
  @usableFromInline let scratch: LinearScratch

  @inlinable @inline(__always)
  init(first: Int, tokens: Int, scratch: LinearScratch) {
    self.first = first
    self.tokens = tokens
    self.scratch = scratch
  }
}
