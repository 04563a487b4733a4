// Finds added tokens in raw text, before anything else looks at it: at each place the longest one
// that starts there. A byte trie, so the time does not depend on how many tokens there are.

/// Matches a set of texts verbatim.
struct SpecialTokenMatcher: Sendable {
  /// A longer text is refused: as many bytes are looked at wherever one may start.
  static let longestText = 256
  /// Texts of more bytes than this, all together, are refused; each may take a node of the trie.
  static let mostBytes = 1 << 20

  /// `node << 8 | byte` to the next node; node 0 is the root.
  private var edges: [Int: Int] = [:]
  /// `[nodes]`: the token that ends at each node.
  private var tokens: [TokenID?] = [nil]
  /// `[256]`: whether some token starts with the byte.
  private var starts = [Bool](repeating: false, count: 256)

  /// Matches the special and the added tokens of a vocabulary.
  init(_ vocabulary: Vocabulary) throws(TokenizerError) {
    var bytes = 0
    for id in 0..<TokenID(vocabulary.count)
    where [.special, .added].contains(vocabulary.kind(of: id)) {
      let range = vocabulary.pieceRange(of: id)
      guard range.count <= Self.longestText else {
        throw .addedTokenTooLong(bytes: range.count, limit: Self.longestText)
      }
      bytes += range.count
      guard bytes <= Self.mostBytes else {
        throw .tooManyAddedTokens(bytes: bytes, limit: Self.mostBytes)
      }
      insert(vocabulary.pieceBytes[range], token: id)
    }
  }

  private mutating func insert(_ text: some Sequence<UInt8>, token: TokenID) {
    var node = 0
    for byte in text {
      if node == 0 { starts[Int(byte)] = true }
      if let next = edges[node << 8 | Int(byte)] {
        node = next
      } else {
        edges[node << 8 | Int(byte)] = tokens.count
        node = tokens.count
        tokens.append(nil)
      }
    }
    tokens[node] = token
  }

  /// The first match at or after `start`.
  func firstMatch(in bytes: [UInt8], from start: Int) -> (range: Range<Int>, token: TokenID)? {
    for index in start..<bytes.count where starts[Int(bytes[index])] {
      if let match = longestMatch(in: bytes, at: index) { return match }
    }
    return nil
  }

  private func longestMatch(
    in bytes: [UInt8],
    at start: Int
  ) -> (range: Range<Int>, token: TokenID)? {
    var longest: (range: Range<Int>, token: TokenID)?
    var node = 0
    for index in start..<bytes.count {
      guard let next = edges[node << 8 | Int(bytes[index])] else { break }
      node = next
      if let token = tokens[node] { longest = (start..<(index + 1), token) }
    }
    return longest
  }
}
