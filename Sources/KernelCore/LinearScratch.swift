// Memory that a thread works in while it multiplies.

/// Accumulators of a pass over one tile of tokens and a group of row tiles, and what panels need.
public struct LinearScratch {
  /// Row tiles that share a pass: while they go through 256 k, the activations of these k stay in
  /// the first-level cache.
  @inlinable public static var rowTiles: Int { 4 }
  /// Most tokens of a call: what bounds the sums beside panels.
  @inlinable public static var mostTokens: Int { 504 }
  /// Bytes to allocate, 64-byte aligned, one for each thread.
  public static var bytes: Int { sumsOffset + rowTiles * mostTokens * 64 }

  /// Bytes of a panel: 256 k of 16 rows as int16.
  @inlinable static var panelBytes: Int { ActivationRecord.scaleBlock * 32 }
  @inlinable static var panelOffset: Int { (1 + rowTiles) * TokenTiles.limit * 64 }
  @inlinable static var sumsOffset: Int { panelOffset + rowTiles * panelBytes }

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

  /// The panel of a row tile of the group.
  @inlinable @inline(__always)
  func panel(_ index: Int) -> UnsafeMutableRawPointer {
    base + Self.panelOffset + index * Self.panelBytes
  }

  /// Sums of all tokens and the row tiles of a group, `[tile of tokens][row tile][token][16 rows]`.
  @inlinable @inline(__always)
  var sums: UnsafeMutablePointer<Float> {
    (base + Self.sumsOffset).assumingMemoryBound(to: Float.self)
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
