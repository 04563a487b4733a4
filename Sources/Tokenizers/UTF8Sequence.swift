// Well-formed UTF-8, one scalar at a time (Unicode 15, table 3-7). Overlong forms, surrogates and
// values above U+10FFFF are ill-formed. Decides nothing about what to do with ill-formed bytes.

/// What is known about a sequence from its first byte, and the tests on the bytes that follow.
enum UTF8Sequence {
  /// Bytes of the sequence that starts with `lead`; 0 when no sequence does.
  static func length(lead: UInt8) -> Int {
    switch lead {
    case 0x00...0x7f: 1
    case 0xc2...0xdf: 2
    case 0xe0...0xef: 3
    case 0xf0...0xf4: 4
    default: 0
    }
  }

  /// Whether `byte` may be the second one after `lead`.
  static func accepts(second byte: UInt8, after lead: UInt8) -> Bool {
    switch lead {
    case 0xe0: 0xa0...0xbf ~= byte
    case 0xed: 0x80...0x9f ~= byte
    case 0xf0: 0x90...0xbf ~= byte
    case 0xf4: 0x80...0x8f ~= byte
    default: isContinuation(byte)
    }
  }

  /// Whether `byte` has the form of a third or fourth byte.
  static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xc0 == 0x80 }

  /// The scalar at `index` and its length, or `nil` when the bytes there are ill-formed.
  @inline(__always)
  static func scalar(
    in bytes: [UInt8],
    at index: Int,
    end: Int
  ) -> (value: UInt32, length: Int)? {
    let lead = bytes[index]
    guard lead >= 0x80 else { return (UInt32(lead), 1) }
    let length = length(lead: lead)
    guard length > 1, end - index >= length else { return nil }
    guard accepts(second: bytes[index + 1], after: lead) else { return nil }
    var value = UInt32(lead) & (0x7f >> UInt32(length))
    value = value << 6 | UInt32(bytes[index + 1] & 0x3f)
    for offset in stride(from: 2, to: length, by: 1) {
      guard isContinuation(bytes[index + offset]) else { return nil }
      value = value << 6 | UInt32(bytes[index + offset] & 0x3f)
    }
    return (value, length)
  }

  /// The scalars of `range`, or `nil` when it is not well-formed throughout.
  static func scalars(in bytes: [UInt8], range: Range<Int>) -> [UInt32]? {
    var scalars: [UInt32] = []
    var index = range.lowerBound
    while index < range.upperBound {
      guard let scalar = scalar(in: bytes, at: index, end: range.upperBound) else { return nil }
      scalars.append(scalar.value)
      index += scalar.length
    }
    return scalars
  }
}
