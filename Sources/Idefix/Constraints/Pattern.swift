// What an answer may be, as a regular language over Unicode scalars: the common ground of choices, regular
// expressions and JSON schemas.

/// A regular pattern.
package indirect enum Pattern: Sendable, Equatable {
  /// The empty text.
  case empty
  /// One scalar out of sorted, disjoint ranges.
  case scalars([ClosedRange<UInt32>])
  /// One after the other.
  case sequence([Pattern])
  /// Any one of these.
  case choice([Pattern])
  /// At least `minimum` times, at most `maximum` times (`nil`: without end).
  case repeated(Pattern, minimum: Int, maximum: Int?)

  /// A fixed text.
  package static func text(_ text: String) -> Pattern {
    .sequence(text.unicodeScalars.map { .scalars([$0.value...$0.value]) })
  }

  /// The pattern or nothing.
  package static func optional(_ pattern: Pattern) -> Pattern {
    .repeated(pattern, minimum: 0, maximum: 1)
  }

  /// Whether the empty text matches.
  package var isNullable: Bool {
    switch self {
    case .empty: true
    case .scalars: false
    case .sequence(let items): items.allSatisfy(\.isNullable)
    case .choice(let options): options.contains(where: \.isNullable)
    case .repeated(let item, let minimum, _): minimum == 0 || item.isNullable
    }
  }

  /// Every scalar value there is.
  package static let allScalars: [ClosedRange<UInt32>] = [0...0xd7ff, 0xe000...0x10_ffff]

  /// Sorted, disjoint, without surrogates.
  package static func normalized(_ ranges: [ClosedRange<UInt32>]) -> [ClosedRange<UInt32>] {
    var merged: [ClosedRange<UInt32>] = []
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let last = merged.last, range.lowerBound <= last.upperBound &+ 1 {
        merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
      } else {
        merged.append(range)
      }
    }
    return merged.flatMap { range in
      allScalars.compactMap { valid in
        let low = max(range.lowerBound, valid.lowerBound)
        let high = min(range.upperBound, valid.upperBound)
        return low <= high ? low...high : nil
      }
    }
  }

  /// All scalars that are not in `ranges`.
  package static func complement(_ ranges: [ClosedRange<UInt32>]) -> [ClosedRange<UInt32>] {
    var left: [ClosedRange<UInt32>] = []
    var next: UInt32 = 0
    for range in normalized(ranges) {
      if range.lowerBound > next { left.append(next...(range.lowerBound - 1)) }
      next = range.upperBound + 1
    }
    if next <= 0x10_ffff { left.append(next...0x10_ffff) }
    return normalized(left)
  }
}
