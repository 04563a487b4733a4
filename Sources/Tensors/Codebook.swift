// The 16 values that 4-bit codes stand for.

/// Sixteen int8 values, ascending; a 4-bit code is an index into them.
public struct Codebook: Sendable, Hashable {
  /// Entry `i` is the value of code `i`, in −127…127.
  public let values: [Int8]

  /// A codebook, or `nil` when there are not 16 entries, one is −128, or they do not ascend.
  public init?(_ values: [Int8]) {
    guard values.count == 16, !values.contains(.min),
      zip(values, values.dropFirst()).allSatisfy({ $0 <= $1 })
    else { return nil }
    self.values = values
  }

  private init(unchecked values: [Int8]) { self.values = values }

  /// Sixteen equal steps, zero included: −8…7 scaled by 15.
  public static let uniform = Codebook(unchecked: (-8...7).map { Int8($0 * 15) })

  /// The four 32-bit words of the table, entry 0 in the lowest byte: what a byte shuffle takes.
  public var packedWords: SIMD4<UInt32> {
    var words = SIMD4<UInt32>()
    for (index, value) in values.enumerated() {
      words[index / 4] |= UInt32(UInt8(bitPattern: value)) << UInt32(8 * (index % 4))
    }
    return words
  }
}
