// Finds stop strings in text that arrives in pieces, and says how much of it must wait because it may still
// become one. Linear in the text, whatever the strings: Aho–Corasick over bytes.

/// Searches a stream of bytes for several strings at once.
package struct StopMatcher: Sendable {
  private struct Node {
    var next: [UInt8: Int32] = [:]
    var failure: Int32 = 0
    var depth: Int32 = 0
    /// Index of the longest stop string that ends here, or -1.
    var match: Int32 = -1
  }

  private var nodes = [Node()]
  private let lengths: [Int]
  private var state: Int32 = 0

  /// What a byte brought to an end.
  package struct Match: Sendable, Equatable {
    /// Index of the stop string.
    package var index: Int
    /// Its length in bytes.
    package var length: Int
  }

  /// A matcher for `strings`; none may be empty.
  package init(_ strings: [String]) {
    lengths = strings.map(\.utf8.count)
    for (index, string) in strings.enumerated() {
      var node: Int32 = 0
      for byte in string.utf8 {
        if let next = nodes[Int(node)].next[byte] {
          node = next
          continue
        }
        nodes.append(Node(depth: nodes[Int(node)].depth + 1))
        nodes[Int(node)].next[byte] = Int32(nodes.count - 1)
        node = Int32(nodes.count - 1)
      }
      if nodes[Int(node)].match < 0 { nodes[Int(node)].match = Int32(index) }
    }
    linkFailures()
  }

  private mutating func linkFailures() {
    var queue = Array(nodes[0].next.values)
    var head = 0
    while head < queue.count {
      let parent = Int(queue[head])
      head += 1
      for (byte, child) in nodes[parent].next {
        queue.append(child)
        var link = nodes[parent].failure
        while link != 0, nodes[Int(link)].next[byte] == nil { link = nodes[Int(link)].failure }
        let target = nodes[Int(link)].next[byte] ?? 0
        nodes[Int(child)].failure = target
        if nodes[Int(child)].match < 0 { nodes[Int(child)].match = nodes[Int(target)].match }
      }
    }
  }

  /// Consumes a byte; the longest stop string that ends with it, if any.
  package mutating func consume(_ byte: UInt8) -> Match? {
    while state != 0, nodes[Int(state)].next[byte] == nil { state = nodes[Int(state)].failure }
    state = nodes[Int(state)].next[byte] ?? 0
    let index = Int(nodes[Int(state)].match)
    return index >= 0 ? Match(index: index, length: lengths[index]) : nil
  }

  /// Bytes at the end of what was consumed that may still become a stop string.
  package var pending: Int { Int(nodes[Int(state)].depth) }
}
