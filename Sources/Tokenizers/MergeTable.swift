// Which two tokens become one, and in which order: a hash table over pairs of ids. Beside it, the
// pairs of characters that any merge can join: between all others, text can be cut without
// changing its tokens, which is what keeps encoding linear.

/// The merges of a byte-pair encoding.
struct MergeTable: Sendable {
  /// The outcome of a lookup.
  struct Merge {
    /// Lower ranks merge first; `none` when the pair never merges.
    var rank: UInt32
    /// The token the pair becomes.
    var token: TokenID

    /// The rank of a pair that never merges.
    static let none = UInt32.max
  }

  private struct Slot {
    var pair: UInt64
    var merge: Merge
  }

  /// No pair of ids, as ids are not negative.
  private static let free = UInt64.max

  /// Open addressing over pairs, never more than half full.
  private var slots = Self.emptySlots(1024)
  private var mask = 1023
  private var count = 0
  /// One bit for each hash of two neighbouring characters that some merge joins.
  private var joints = [UInt64](repeating: 0, count: 1 << 12)
  private let seed = UInt64.random(in: 0 ... .max)

  /// What becomes of two neighbouring tokens.
  @inline(__always)
  func merge(_ left: TokenID, _ right: TokenID) -> Merge {
    slots[index(of: Self.pair(left, right))].merge
  }

  /// Whether a merge may join two neighbouring characters.
  ///
  /// Sometimes true without need, never false wrongly.
  @inline(__always)
  func mayJoin(_ left: UInt32, _ right: UInt32) -> Bool {
    let bit = Self.joint(left, right)
    return joints[bit >> 6] >> UInt64(bit & 63) & 1 != 0
  }

  /// Adds a merge; returns false when the pair is there already.
  mutating func insert(
    _ left: TokenID,
    _ right: TokenID,
    merge: Merge,
    joining last: UInt32,
    _ first: UInt32
  ) -> Bool {
    let pair = Self.pair(left, right)
    let index = index(of: pair)
    guard slots[index].pair == Self.free else { return false }
    slots[index] = Slot(pair: pair, merge: merge)
    count += 1
    if count * 2 > slots.count { grow() }
    let bit = Self.joint(last, first)
    joints[bit >> 6] |= 1 << UInt64(bit & 63)
    return true
  }

  private mutating func grow() {
    let filled = slots.filter { $0.pair != Self.free }
    slots = Self.emptySlots(slots.count * 2)
    mask = slots.count - 1
    for slot in filled { slots[index(of: slot.pair)] = slot }
  }

  private static func emptySlots(_ count: Int) -> [Slot] {
    Array(repeating: Slot(pair: free, merge: Merge(rank: Merge.none, token: 0)), count: count)
  }

  @inline(__always)
  private static func pair(_ left: TokenID, _ right: TokenID) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// A bit number below 2^18.
  @inline(__always)
  private static func joint(_ left: UInt32, _ right: UInt32) -> Int {
    Int((left &* 0x9e37_79b1 ^ right &* 0x85eb_ca77) >> 14)
  }

  /// The slot that holds the pair, or the free one where it belongs.
  @inline(__always)
  private func index(of pair: UInt64) -> Int {
    var hash = (pair ^ seed) &* 0x9e37_79b9_7f4a_7c15
    hash ^= hash >> 32
    var index = Int(truncatingIfNeeded: hash) & mask
    while slots[index].pair != pair, slots[index].pair != Self.free { index = (index + 1) & mask }
    return index
  }
}
