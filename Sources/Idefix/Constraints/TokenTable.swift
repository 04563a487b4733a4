// The text of every token, sorted by bytes with the length of the prefix shared with the one before: a trie without
// nodes. One walk over it tells which tokens an automaton can take.

import Tokenizers

/// All tokens that have text, in byte order.
package struct TokenTable: Sendable {
  /// Token ids in the order of their bytes.
  package let order: [Int32]
  /// For each place in `order` the bytes shared with the token before.
  package let shared: [Int]
  /// All ids are below this.
  package let idLimit: Int
  private let vocabulary: Vocabulary

  /// The table of a vocabulary; special tokens are left out.
  package init(_ vocabulary: Vocabulary) {
    self.vocabulary = vocabulary
    idLimit = vocabulary.count
    let texts = (0..<Int32(vocabulary.count)).map { vocabulary.text(of: $0) }
    let order = (0..<Int32(vocabulary.count))
      .filter { vocabulary.kind(of: $0) != .special && !texts[Int($0)].isEmpty }
      .sorted { texts[Int($0)].lexicographicallyPrecedes(texts[Int($1)]) }
    self.order = order
    shared = order.indices.map { place in
      guard place > 0 else { return 0 }
      return zip(texts[Int(order[place - 1])], texts[Int(order[place])]).prefix { $0 == $1 }.count
    }
  }

  /// A token's bytes.
  package func bytes(of token: Int32) -> ArraySlice<UInt8> {
    vocabulary.kind(of: token) == .special ? [] : vocabulary.text(of: token)
  }
}
