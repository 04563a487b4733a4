// From a Unicode scalar to the token that spells it alone: a two-level table, so that a lookup in
// the encoder's inner loop is two loads.

/// The single-character tokens of a vocabulary.
struct CharacterTable: Sendable {
  /// `[0x1100]`: number of the page for the scalars that share all but their low 8 bits.
  private var pageNumbers = [UInt16](repeating: 0, count: 0x1100)
  /// `[pages, 256]` token ids, -1 where there is none; page 0 is the empty one.
  private var entries = [TokenID](repeating: -1, count: 256)

  /// The token of a scalar value, or -1.
  @inline(__always)
  subscript(_ scalar: UInt32) -> TokenID {
    entries[Int(pageNumbers[Int(scalar >> 8)]) << 8 | Int(scalar & 0xff)]
  }

  /// Makes `token` the one for `scalar`, a valid scalar value.
  mutating func set(_ scalar: UInt32, to token: TokenID) {
    let page = Int(scalar >> 8)
    if pageNumbers[page] == 0 {
      pageNumbers[page] = UInt16(entries.count >> 8)
      entries.append(contentsOf: repeatElement(-1, count: 256))
    }
    entries[Int(pageNumbers[page]) << 8 | Int(scalar & 0xff)] = token
  }
}
