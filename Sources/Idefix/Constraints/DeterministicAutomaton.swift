// A byte automaton made deterministic as it is walked (Rabin and Scott's subset construction, one move at a time). Work is
// linear in what is asked, and bounded: beyond the bounds every new move is refused and `hasFailed` says why.

/// A deterministic automaton that grows where it is walked.
struct DeterministicAutomaton {
  /// What a move leads to that the automaton does not take.
  static let dead: Int32 = -1
  private static let unknown: Int32 = -2
  /// Most states.
  private static let maximumStates = 4096
  /// Most elementary moves: some 100 ms.
  private static let maximumWork = 10_000_000
  /// Most members of all states together.
  private static let maximumMembers = 2_000_000

  private let source: [ByteAutomaton.State]
  /// States of the source of each state, sorted.
  private var sets: [[Int32]] = []
  private var known: [[Int32]: Int32] = [:]
  /// Next states, `[state][byte]`.
  private var moves: [Int32] = []
  private var work = 0
  private var members = 0
  /// For each state of the source the last search that has met it, of `search` so far.
  private var marks: [Int32]
  private var search: Int32 = 0
  /// Whether a bound was exceeded.
  private(set) var hasFailed = false
  /// The state before any text.
  private(set) var start: Int32 = 0

  init(_ automaton: ByteAutomaton) {
    source = automaton.states
    marks = Array(repeating: 0, count: source.count)
    start = state(of: [automaton.start])
  }

  /// Bytes of memory held.
  var bytes: Int { 4 * moves.count + 4 * members }

  /// Whether the text may end in `state`.
  func accepts(_ state: Int32) -> Bool { state >= 0 && sets[Int(state)].first == 0 }

  /// Whether the text must end in `state`.
  func isFinal(_ state: Int32) -> Bool { state >= 0 && sets[Int(state)] == [0] }

  /// The state after a byte.
  mutating func move(_ state: Int32, _ byte: UInt8) -> Int32 {
    let next = moves[Int(state) * 256 + Int(byte)]
    return next == Self.unknown ? explore(state, byte) : next
  }

  /// The tokens of `table` that `state` takes, one bit each, in `words` words.
  ///
  /// - Complexity: One pass over the table at most; what a refused byte begins is skipped.
  mutating func mask(of table: TokenTable, from state: Int32, words: Int) -> [UInt64] {
    var mask = [UInt64](repeating: 0, count: words)
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
        mask[id / 64] |= 1 << UInt64(id % 64)
      }
      index += 1
    }
    return mask
  }

  /// Finds the move on `byte`, and on all bytes around it that no member tells from it.
  private mutating func explore(_ state: Int32, _ byte: UInt8) -> Int32 {
    var targets: [Int32] = []
    var alike = UInt8.min...UInt8.max
    let set = sets[Int(state)]
    work += set.count
    for index in set {
      guard case .byte(let range, let next) = source[Int(index)] else { continue }
      if byte < range.lowerBound {
        alike = alike.clamped(to: 0...(range.lowerBound - 1))
      } else if byte > range.upperBound {
        alike = alike.clamped(to: (range.upperBound + 1)...255)
      } else {
        alike = alike.clamped(to: range)
        targets.append(next)
      }
    }
    let target = targets.isEmpty ? Self.dead : self.state(of: targets)
    for byte in alike { moves[Int(state) * 256 + Int(byte)] = target }
    return target
  }

  /// The state of everything that can be reached from `seeds` without a byte.
  private mutating func state(of seeds: [Int32]) -> Int32 {
    search += 1
    var open = seeds
    var set: [Int32] = []
    while let index = open.popLast() {
      work += 1
      guard marks[Int(index)] != search else { continue }
      marks[Int(index)] = search
      if case .split(let next) = source[Int(index)] {
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
    known[set] = Int32(sets.count - 1)
    return Int32(sets.count - 1)
  }
}
