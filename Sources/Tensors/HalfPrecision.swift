// Conversions between float32 and the two 16-bit formats, as plain integer arithmetic so that every
// machine gives the same bits. bfloat16 rounds to nearest even; NaN stays NaN.

/// A bfloat16 value as its 16 bits.
public struct BFloat16: Sendable, Hashable {
  /// Sign, 8 exponent bits, 7 fraction bits.
  public let bitPattern: UInt16

  /// Wraps a bit pattern.
  @inlinable public init(bitPattern: UInt16) { self.bitPattern = bitPattern }

  /// Rounds a float32 to nearest even; any NaN becomes a quiet NaN of the same sign.
  @inlinable public init(_ value: Float) {
    let bits = value.bitPattern
    guard !value.isNaN else {
      bitPattern = UInt16(truncatingIfNeeded: bits >> 16) | 0x0040
      return
    }
    bitPattern = UInt16(truncatingIfNeeded: (bits &+ 0x7fff &+ ((bits >> 16) & 1)) >> 16)
  }

  /// The value widened to float32, exactly.
  @inlinable public var float: Float { Float(bitPattern: UInt32(bitPattern) << 16) }
}
