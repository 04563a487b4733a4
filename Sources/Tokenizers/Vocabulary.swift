// Every token of a tokenizer: its piece as the file spells it, the bytes it stands for in text, and
// its kind. Token text is bytes, because half a character is a token too. Pieces are unique; ids
// are 0..<count without holes.

/// The number of a token.
public typealias TokenID = Int32

/// The tokens of a tokenizer, by id.
public struct Vocabulary: Sendable {
  /// What a token is made of.
  public enum Kind: UInt8, Sendable {
    /// A stretch of text.
    case text
    /// One byte, for what no piece of text covers.
    case byte
    /// A token added after training that counts as text when special tokens are skipped.
    case added
    /// A token with a meaning of its own, such as `<s>` or `<image>`.
    case special
  }

  /// More tokens than this are refused; those of the published models have 32,003.
  static let largestCount = 1 << 17

  /// The texts of all tokens, one after another.
  public private(set) var allText: [UInt8] = []
  /// `[count + 1]`: token `id` is `allText[textOffsets[id]..<textOffsets[id + 1]]`.
  public private(set) var textOffsets: [Int] = [0]
  /// Bytes of the longest text of a token, special ones included.
  public private(set) var longestText = 0

  private var pieces: [UInt8] = []
  private var pieceOffsets: [Int] = [0]
  private var kinds: [Kind] = []
  /// Open addressing over piece contents, never more than half full; -1 marks a free slot.
  private var slots: [TokenID] = Array(repeating: -1, count: 1024)
  private let seed = UInt64.random(in: 0 ... .max)

  /// How many tokens there are, added ones included.
  public var count: Int { kinds.count }

  /// Whether a token has this id.
  public func contains(_ id: TokenID) -> Bool { id >= 0 && Int(id) < kinds.count }

  /// What the token is made of; unknown ids count as text.
  public func kind(of id: TokenID) -> Kind { contains(id) ? kinds[Int(id)] : .text }

  /// The bytes the token adds to the text, spaces as spaces; none for an unknown id.
  public func text(of id: TokenID) -> ArraySlice<UInt8> {
    guard contains(id) else { return [] }
    return allText[textOffsets[Int(id)]..<textOffsets[Int(id) + 1]]
  }

  /// The token as its file spells it, such as `▁hello` or `<0x0A>`; empty for an unknown id.
  public func piece(of id: TokenID) -> String {
    guard contains(id) else { return "" }
    return String(
      decoding: pieces[pieceOffsets[Int(id)]..<pieceOffsets[Int(id) + 1]],
      as: UTF8.self
    )
  }

  /// The id of the token that its file spells `piece`.
  public func id(ofPiece piece: String) -> TokenID? {
    let bytes = Array(piece.utf8)
    return id(ofPieceIn: bytes, at: bytes.indices)
  }

  /// The id of the token spelt by `bytes[range]`.
  func id(ofPieceIn bytes: [UInt8], at range: Range<Int>) -> TokenID? {
    let id = slots[slot(of: bytes, at: range)]
    return id < 0 ? nil : id
  }

  /// Where the piece of `id` lies in `pieceBytes`.
  func pieceRange(of id: TokenID) -> Range<Int> {
    pieceOffsets[Int(id)]..<pieceOffsets[Int(id) + 1]
  }

  /// The spellings of all tokens, one after another.
  var pieceBytes: [UInt8] { pieces }

  /// Adds a token and returns its id, or `nil` when the piece is there already.
  mutating func append(_ piece: ArraySlice<UInt8>, kind: Kind) -> TokenID? {
    let start = pieces.count
    pieces.append(contentsOf: piece)
    let slot = slot(of: pieces, at: start..<pieces.count)
    guard slots[slot] < 0 else {
      pieces.removeSubrange(start...)
      return nil
    }
    let id = TokenID(kinds.count)
    slots[slot] = id
    pieceOffsets.append(pieces.count)
    kinds.append(kind)
    appendText(of: start..<pieces.count, kind: kind)
    if kinds.count * 2 > slots.count { grow() }
    return id
  }

  /// Turns a piece of text into a token of another kind; its spelling is its text from then on.
  mutating func change(_ id: TokenID, to kind: Kind) { kinds[Int(id)] = kind }

  /// The value of a byte token's spelling, `<0x00>` to `<0xFF>`.
  static func byte(spelledBy piece: ArraySlice<UInt8>) -> UInt8? {
    guard piece.count == 6, piece.starts(with: "<0x".utf8), piece.last == UInt8(ascii: ">") else {
      return nil
    }
    var value: UInt8 = 0
    for digit in piece.dropFirst(3).prefix(2) {
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | (digit - UInt8(ascii: "0"))
      case UInt8(ascii: "A")...UInt8(ascii: "F"):
        value = value << 4 | (digit - UInt8(ascii: "A") + 10)
      default: return nil
      }
    }
    return value
  }

  private mutating func appendText(of range: Range<Int>, kind: Kind) {
    if kind == .byte, let byte = Self.byte(spelledBy: pieces[range]) {
      allText.append(byte)
    } else {
      var index = range.lowerBound
      while index < range.upperBound {
        if pieces[index...].prefix(3).elementsEqual(WordBoundary.utf8) {
          allText.append(WordBoundary.space)
          index += 3
        } else {
          allText.append(pieces[index])
          index += 1
        }
      }
    }
    longestText = max(longestText, allText.count - textOffsets[textOffsets.count - 1])
    textOffsets.append(allText.count)
  }

  /// The slot that holds this piece, or the free one where it belongs.
  private func slot(of bytes: [UInt8], at range: Range<Int>) -> Int {
    var hash = seed
    for index in range { hash = (hash ^ UInt64(bytes[index])) &* 0x9e37_79b9_7f4a_7c15 }
    hash ^= hash >> 29
    var slot = Int(truncatingIfNeeded: (hash &* 0xbf58_476d_1ce4_e5b9) >> 32) & (slots.count - 1)
    while slots[slot] >= 0, !holds(slots[slot], bytes, at: range) {
      slot = (slot + 1) & (slots.count - 1)
    }
    return slot
  }

  private func holds(_ id: TokenID, _ bytes: [UInt8], at range: Range<Int>) -> Bool {
    let start = pieceOffsets[Int(id)]
    guard pieceOffsets[Int(id) + 1] - start == range.count else { return false }
    for offset in 0..<range.count
    where pieces[start + offset] != bytes[range.lowerBound + offset] {
      return false
    }
    return true
  }

  private mutating func grow() {
    slots = Array(repeating: -1, count: slots.count * 2)
    for id in kinds.indices {
      slots[slot(of: pieces, at: pieceOffsets[id]..<pieceOffsets[id + 1])] = TokenID(id)
    }
  }
}

/// The character that stands for a space inside pieces, U+2581.
enum WordBoundary {
  /// The character itself.
  static let scalar: UInt32 = 0x2581
  /// The character as UTF-8.
  static let utf8: [UInt8] = [0xe2, 0x96, 0x81]
  /// The space it stands for.
  static let space = UInt8(ascii: " ")
}
