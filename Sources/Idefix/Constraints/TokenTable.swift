// The texts of all tokens as a trie in depth-first order, so that one walk over it tells which tokens an automaton can
// take: where a byte is refused, everything that begins alike is skipped at once. Made while a model is loaded: a first
// constrained request should not wait for it.

import Synchronization
import Tokenizers

/// All tokens that have text.
package struct TokenTable: Sendable {
  /// One byte of the trie.
  struct Node: Sendable {
    let byte: UInt8
    /// Bytes from the root to this one, itself included.
    let depth: Int32
    /// The node after all that begin with this one.
    var end: Int32
    /// The tokens that end here are those of `tokens` from this one to the next node's first.
    let firstToken: Int32
  }

  /// The nodes, each before those below it, and one after the last.
  let nodes: [Node]
  /// Ids of the tokens, in the order of their nodes.
  let tokens: [Int32]
  /// Longest text in bytes.
  let depth: Int
  /// All ids are below this.
  package let idLimit: Int
  private let vocabulary: Vocabulary

  /// The table of a vocabulary; special tokens are left out.
  ///
  /// - Complexity: O(n log n) comparisons of n tokens, and the bytes of all their texts.
  package init(_ vocabulary: Vocabulary) {
    self.vocabulary = vocabulary
    idLimit = vocabulary.count
    tokens = Self.sorted(vocabulary)
    var nodes: [Node] = []
    nodes.reserveCapacity(2 * tokens.count)
    // The nodes of the text at hand, from the root down.
    var path: [Int] = []
    var depth = 0
    func close(to depth: Int) {
      while path.count > depth { nodes[path.removeLast()].end = Int32(nodes.count) }
    }
    for (place, token) in tokens.enumerated() {
      let text = vocabulary.text(of: token)
      var index = text.startIndex
      while index < text.endIndex, index - text.startIndex < path.count,
        nodes[path[index - text.startIndex]].byte == text[index]
      {
        index += 1
      }
      close(to: index - text.startIndex)
      for byte in text[index...] {
        path.append(nodes.count)
        nodes.append(
          Node(byte: byte, depth: Int32(path.count), end: 0, firstToken: Int32(place))
        )
      }
      depth = max(depth, path.count)
    }
    close(to: 0)
    nodes.append(Node(byte: 0, depth: 0, end: 0, firstToken: Int32(tokens.count)))
    self.nodes = nodes
    self.depth = depth
  }

  /// A token's bytes.
  package func bytes(of token: Int32) -> ArraySlice<UInt8> {
    vocabulary.kind(of: token) == .special ? [] : vocabulary.text(of: token)
  }

  /// The tokens with text, by their bytes; of equal texts the smaller id comes first.
  private static func sorted(_ vocabulary: Vocabulary) -> [Int32] {
    // The first bytes as a number order nearly all of them.
    var order: [(key: UInt64, token: Int32)] = []
    order.reserveCapacity(vocabulary.count)
    for token in 0..<Int32(vocabulary.count) where vocabulary.kind(of: token) != .special {
      let text = vocabulary.text(of: token)
      guard !text.isEmpty else { continue }
      var key: UInt64 = 0
      for byte in text.prefix(8) { key = key << 8 | UInt64(byte) }
      order.append((key << UInt64(8 * max(0, 8 - text.count)), token))
    }
    order.sort { a, b in
      guard a.key == b.key else { return a.key < b.key }
      let (first, second) = (vocabulary.text(of: a.token), vocabulary.text(of: b.token))
      return first.elementsEqual(second)
        ? a.token < b.token : first.lexicographicallyPrecedes(second)
    }
    return order.map(\.token)
  }
}

/// The table of a vocabulary, made once: whoever asks while another makes it waits.
final class SharedTokenTable: Sendable {
  /// Bytes of text up to which it is made before anybody asks; the published models have a fifth.
  private static let madeAtOnce = 1 << 20

  private let vocabulary: Vocabulary
  private let table = Mutex<TokenTable?>(nil)

  init(_ vocabulary: Vocabulary) { self.vocabulary = vocabulary }

  /// The table.
  var value: TokenTable {
    table.withLock { table in
      let made = table ?? TokenTable(vocabulary)
      table = made
      return made
    }
  }

  /// Makes the table now, unless it would take much memory that perhaps nobody needs.
  func prepare() { if vocabulary.allText.count <= Self.madeAtOnce { _ = value } }
}
