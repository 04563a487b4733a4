// The arrangements of quantised weights that one kernel body reads.

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

/// 4-bit codes: a line holds 8 k, the low halves of its bytes the first four of each row.
@usableFromInline
protocol FourBit: CodeFormat {}

extension FourBit {
  @inlinable @inline(__always)
  static var blockBytes: Int { 256 }
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

/// 4-bit codes, groups of 32.
@usableFromInline
enum FourBitGroup32: FourBit {
  @inlinable @inline(__always)
  static var groups: Int { 1 }
}

/// 4-bit codes, groups of 16.
@usableFromInline
enum FourBitGroup16: FourBit {
  @inlinable @inline(__always)
  static var groups: Int { 2 }
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
