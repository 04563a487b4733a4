// The texts of all tokens as a trie in depth-first order, so that one walk over it tells which tokens an automaton can
// take: where a byte is refused, everything that begins alike is skipped at once.

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
    /// Where the tokens that end here stand in `tokens`.
    var firstToken: Int32
    var tokenCount: Int32
  }

  /// The nodes, each before those below it.
  let nodes: [Node]
  /// Ids of the tokens, in the order of their nodes.
  let tokens: [Int32]
  /// Longest text in bytes.
  let depth: Int
  /// All ids are below this.
  package let idLimit: Int
  private let vocabulary: Vocabulary

  /// The table of a vocabulary; special tokens are left out.
  package init(_ vocabulary: Vocabulary) {
    self.vocabulary = vocabulary
    idLimit = vocabulary.count
    let order = (0..<Int32(vocabulary.count))
      .filter { vocabulary.kind(of: $0) != .special && !vocabulary.text(of: $0).isEmpty }
      .sorted { vocabulary.text(of: $0).lexicographicallyPrecedes(vocabulary.text(of: $1)) }
    var nodes: [Node] = []
    // The nodes of the text at hand, from the root down.
    var path: [Int] = []
    func close(to depth: Int) {
      while path.count > depth { nodes[path.removeLast()].end = Int32(nodes.count) }
    }
    for (place, token) in order.enumerated() {
      let text = vocabulary.text(of: token)
      let shared = zip(path, text).prefix { nodes[$0].byte == $1 }.count
      close(to: shared)
      for byte in text.dropFirst(shared) {
        path.append(nodes.count)
        nodes.append(
          Node(
            byte: byte,
            depth: Int32(path.count),
            end: 0,
            firstToken: Int32(place),
            tokenCount: 0
          )
        )
      }
      nodes[path[path.count - 1]].tokenCount += 1
    }
    close(to: 0)
    depth = nodes.reduce(0) { max($0, Int($1.depth)) }
    self.nodes = nodes
    tokens = order
  }

  /// A token's bytes.
  package func bytes(of token: Int32) -> ArraySlice<UInt8> {
    vocabulary.kind(of: token) == .special ? [] : vocabulary.text(of: token)
  }
}
