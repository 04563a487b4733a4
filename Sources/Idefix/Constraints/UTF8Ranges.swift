// Ranges of Unicode scalars as sequences of byte ranges, so that an automaton can work on bytes.
// Source: the construction of Ken Thompson's grep and Russ Cox's RE2 (utf8-ranges).

/// Splits scalar ranges at the borders of UTF-8's lengths.
package enum UTF8Ranges {
  /// Byte-range sequences that together match exactly the scalars of `range`, which holds no surrogates.
  package static func sequences(of range: ClosedRange<UInt32>) -> [[ClosedRange<UInt8>]] {
    var result: [[ClosedRange<UInt8>]] = []
    for limits in [0...0x7f, 0x80...0x7ff, 0x800...0xffff, 0x10000...0x10_ffff]
      as [ClosedRange<UInt32>]
    where range.overlaps(limits) {
      let low = max(range.lowerBound, limits.lowerBound)
      let high = min(range.upperBound, limits.upperBound)
      split(bytes(low), bytes(high), prefix: [], into: &result)
    }
    return result
  }

  /// `low` and `high` have the same length; splits until each place is a range of its own.
  private static func split(
    _ low: ArraySlice<UInt8>,
    _ high: ArraySlice<UInt8>,
    prefix: [ClosedRange<UInt8>],
    into result: inout [[ClosedRange<UInt8>]]
  ) {
    guard let first = low.first, let last = high.first else { return result.append(prefix) }
    let (lowRest, highRest) = (low.dropFirst(), high.dropFirst())
    if first == last {
      return split(lowRest, highRest, prefix: prefix + [first...first], into: &result)
    }
    let least = ArraySlice(repeatElement(UInt8(0x80), count: lowRest.count))
    let most = ArraySlice(repeatElement(UInt8(0xbf), count: lowRest.count))
    var (start, end) = (first, last)
    if !lowRest.elementsEqual(least) {
      split(lowRest, most, prefix: prefix + [first...first], into: &result)
      start += 1
    }
    let endsInside = !highRest.elementsEqual(most)
    if endsInside { end -= 1 }
    if start <= end { split(least, most, prefix: prefix + [start...end], into: &result) }
    if endsInside { split(least, highRest, prefix: prefix + [last...last], into: &result) }
  }

  private static func bytes(_ scalar: UInt32) -> ArraySlice<UInt8> {
    guard let scalar = Unicode.Scalar(scalar) else { return [] }
    return ArraySlice(UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
  }
}
