// Which tokens may come next under a constraint. The automaton is made deterministic as it is walked; each of its states
// remembers its mask, so that a token costs one pass over a bit set once its state was seen. Work is linear in text and
// vocabulary, and bounded: a constraint that exceeds the bounds fails the request instead of letting anything through.

/// A constraint as requests walk it.
///
/// Belongs to the engine thread.
package final class ConstraintMatcher {
  private static let unknown: Int32 = -2
  private static let dead: Int32 = -1
  /// Most deterministic states.
  private static let maximumStates = 4096
  /// Most elementary moves: some 100 ms.
  private static let maximumWork = 10_000_000
  /// Most members of all deterministic states together.
  private static let maximumMembers = 2_000_000

  private let automaton: ByteAutomaton
  private let table: TokenTable
  /// 64-bit words of a mask.
  private let maskWords: Int
  /// Nondeterministic states of each deterministic one, sorted.
  private var sets: [[Int32]] = []
  private var known: [[Int32]: Int32] = [:]
  /// Next states, `[state][byte]`.
  private var moves: [Int32] = []
  /// Masks that were needed so far, one bit a token, one after another.
  private var masks: [UInt64] = []
  /// For each state where its mask begins in `masks`; -1 until it is needed.
  private var maskPlaces: [Int] = []
  private var work = 0
  private var members = 0
  /// For each nondeterministic state the last search that has met it, of `search` so far.
  private var marks: [Int32]
  private var search: Int32 = 0
  /// Whether a bound was exceeded.
  package private(set) var hasFailed = false
  /// The state before any text.
  package private(set) var start: Int32 = 0

  /// A matcher for scores of `vocabularySize` tokens.
  package init(_ automaton: ByteAutomaton, table: TokenTable, vocabularySize: Int) {
    self.automaton = automaton
    self.table = table
    maskWords = (max(vocabularySize, table.idLimit) + 63) / 64
    marks = Array(repeating: 0, count: automaton.states.count)
    start = state(of: [automaton.start])
  }

  /// Bytes of memory held.
  package var bytes: Int { 8 * masks.count + 4 * moves.count + 4 * members }

  /// Whether the text may end in `state`.
  package func accepts(_ state: Int32) -> Bool { state >= 0 && sets[Int(state)].first == 0 }

  /// Whether the text must end in `state`.
  package func isFinal(_ state: Int32) -> Bool { state >= 0 && sets[Int(state)] == [0] }

  /// The state after a token.
  package func state(after token: Int32, from state: Int32) -> Int32 {
    var state = state
    for byte in table.bytes(of: token) where state >= 0 { state = move(state, byte) }
    return state
  }

  /// Bars every token that `state` does not allow; `ends` are allowed where the text may end.
  package func mask(_ scores: inout [Float], in state: Int32, ends: [Int32]) {
    let place = state >= 0 && !hasFailed ? maskPlace(of: state) : -1
    // Making the mask may have been too much.
    guard place >= 0, !hasFailed else {
      for index in scores.indices { scores[index] = -.infinity }
      return
    }
    let isOver = accepts(state)
    let kept = isOver ? ends.map { ($0, scores[Int($0)]) } : []
    var index = 0
    var word = place
    while index < scores.count {
      let allowed = masks[word]
      let end = min(index + 64, scores.count)
      if allowed == 0 {
        for token in index..<end { scores[token] = -.infinity }
      } else if allowed != .max {
        for token in index..<end where allowed >> UInt64(token - index) & 1 == 0 {
          scores[token] = -.infinity
        }
      }
      index = end
      word += 1
    }
    for (token, score) in kept { scores[Int(token)] = score }
  }

  /// Where the mask of `state` begins.
  private func maskPlace(of state: Int32) -> Int {
    if maskPlaces[Int(state)] >= 0 { return maskPlaces[Int(state)] }
    let place = masks.count
    masks.append(contentsOf: repeatElement(0, count: maskWords))
    // States after each byte from the root to the node at hand.
    var path = [Int32](repeating: state, count: table.depth + 1)
    var index = 0
    while index < table.nodes.count {
      let node = table.nodes[index]
      let next = move(path[Int(node.depth) - 1], node.byte)
      guard next >= 0 else {
        index = Int(node.end)
        continue
      }
      path[Int(node.depth)] = next
      for token in node.firstToken..<(node.firstToken + node.tokenCount) {
        let id = Int(table.tokens[Int(token)])
        masks[place + id / 64] |= 1 << UInt64(id % 64)
      }
      index += 1
    }
    maskPlaces[Int(state)] = place
    return place
  }

  private func move(_ state: Int32, _ byte: UInt8) -> Int32 {
    let next = moves[Int(state) * 256 + Int(byte)]
    return next == Self.unknown ? explore(state, byte) : next
  }

  private func explore(_ state: Int32, _ byte: UInt8) -> Int32 {
    var targets: [Int32] = []
    work += sets[Int(state)].count
    for index in sets[Int(state)] {
      if case .byte(let range, let next) = automaton.states[Int(index)], range.contains(byte) {
        targets.append(next)
      }
    }
    let target = targets.isEmpty ? Self.dead : self.state(of: targets)
    moves[Int(state) * 256 + Int(byte)] = target
    return target
  }

  /// The deterministic state of everything that can be reached from `seeds` without a byte.
  private func state(of seeds: [Int32]) -> Int32 {
    search += 1
    var open = seeds
    var set: [Int32] = []
    while let index = open.popLast() {
      work += 1
      guard marks[Int(index)] != search else { continue }
      marks[Int(index)] = search
      if case .split(let next) = automaton.states[Int(index)] {
        open += next
      } else {
        set.append(index)
      }
    }
    set.sort()
    if let index = known[set] { return index }
    guard sets.count < Self.maximumStates, work < Self.maximumWork,
      members + set.count <= Self.maximumMembers, !hasFailed
    else {
      hasFailed = true
      return Self.dead
    }
    members += set.count
    sets.append(set)
    moves.append(contentsOf: repeatElement(Self.unknown, count: 256))
    maskPlaces.append(-1)
    known[set] = Int32(sets.count - 1)
    return Int32(sets.count - 1)
  }
}
