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

  private let source: ByteAutomaton
  /// States of the source of all states, those of each sorted.
  private var members: [Int32] = []
  /// `[states + 1]`: state `s` has the members `bounds[s]..<bounds[s + 1]`.
  private var bounds = [0]
  /// Open addressing over the states' members, never more than half full; -1 marks a free slot.
  private var slots = [Int32](repeating: -1, count: 64)
  /// Nobody can know which sets of members collide.
  private let seed = UInt64.random(in: 0 ... .max)
  /// Next states, `[state][class of bytes]`.
  private var moves: [Int32] = []
  private var work = 0
  /// For each state of the source the last search that has met it, of `search` so far.
  private var marks: [Int32]
  private var search: Int32 = 0
  /// What a search still has to look at, and what it found.
  private var open: [Int32] = []
  private var found: [Int32] = []
  /// Whether a bound was exceeded.
  private(set) var hasFailed = false
  /// The state before any text.
  private(set) var start: Int32 = 0

  init(_ automaton: ByteAutomaton) {
    source = automaton
    marks = Array(repeating: 0, count: automaton.states.count)
    open = [automaton.start]
    start = stateOfOpen()
  }

  /// Bytes of memory held.
  var bytes: Int { 4 * (moves.count + members.count + slots.count) + 8 * bounds.count }

  /// Whether the text may end in `state`.
  func accepts(_ state: Int32) -> Bool { state >= 0 && set(of: state).first == 0 }

  /// Whether the text must end in `state`.
  func isFinal(_ state: Int32) -> Bool { state >= 0 && set(of: state).elementsEqual([0]) }

  /// What a state can take within the automaton's horizon: states with the same key take the same beginnings of texts.
  func key(of state: Int32) -> [Int32] {
    set(of: state).map { source.twins[Int($0)] }.sorted()
  }

  /// The state after a byte.
  mutating func move(_ state: Int32, _ byte: UInt8) -> Int32 {
    let kind = Int(source.classes[Int(byte)])
    let next = moves[Int(state) * source.classCount + kind]
    return next == Self.unknown ? explore(state, byte) : next
  }

  /// The tokens of `table` that `state` takes, one bit each, in `words` words.
  ///
  /// - Complexity: One pass over the table at most; what a refused byte begins is skipped.
  mutating func mask(of table: TokenTable, from state: Int32, words: Int) -> [UInt64] {
    var mask = [UInt64](repeating: 0, count: words)
    // States after each byte from the root to the node at hand.
    var path = [Int32](repeating: state, count: table.depth + 1)
    let nodes = table.nodes
    var index = 0
    while index < nodes.count - 1 {
      let node = nodes[index]
      let next = move(path[Int(node.depth) - 1], node.byte)
      guard next >= 0 else {
        index = Int(node.end)
        continue
      }
      path[Int(node.depth)] = next
      index += 1
      for place in Int(node.firstToken)..<Int(nodes[index].firstToken) {
        let id = Int(table.tokens[place])
        mask[id / 64] |= 1 << UInt64(id % 64)
      }
    }
    return mask
  }

  private func set(of state: Int32) -> ArraySlice<Int32> {
    members[bounds[Int(state)]..<bounds[Int(state) + 1]]
  }

  /// Finds the move on `byte`, and on all bytes around it that no member tells from it.
  private mutating func explore(_ state: Int32, _ byte: UInt8) -> Int32 {
    open.removeAll(keepingCapacity: true)
    var (low, high) = (UInt8.min, UInt8.max)
    let range = bounds[Int(state)]..<bounds[Int(state) + 1]
    work += range.count
    for place in range {
      guard case .byte(let bytes, let next) = source.states[Int(members[place])] else { continue }
      if byte < bytes.lowerBound {
        high = min(high, bytes.lowerBound - 1)
      } else if byte > bytes.upperBound {
        low = max(low, bytes.upperBound + 1)
      } else {
        (low, high) = (max(low, bytes.lowerBound), min(high, bytes.upperBound))
        open.append(next)
      }
    }
    let target = open.isEmpty ? Self.dead : stateOfOpen()
    let row = Int(state) * source.classCount
    for kind in source.classes[Int(low)]...source.classes[Int(high)] {
      moves[row + Int(kind)] = target
    }
    return target
  }

  /// The state of everything that can be reached from `open` without a byte; `open` is empty afterwards.
  private mutating func stateOfOpen() -> Int32 {
    search += 1
    found.removeAll(keepingCapacity: true)
    while let index = open.popLast() {
      work += 1
      guard marks[Int(index)] != search else { continue }
      marks[Int(index)] = search
      if case .split(let next) = source.states[Int(index)] {
        open += next
      } else {
        found.append(index)
      }
    }
    if found.count > 1 { found.sort() }
    let slot = slotOfFound()
    if slots[slot] >= 0 { return slots[slot] }
    let count = bounds.count - 1
    guard count < Self.maximumStates, work < Self.maximumWork,
      members.count + found.count <= Self.maximumMembers, !hasFailed
    else {
      hasFailed = true
      return Self.dead
    }
    slots[slot] = Int32(count)
    members += found
    bounds.append(members.count)
    moves.append(contentsOf: repeatElement(Self.unknown, count: source.classCount))
    if 2 * bounds.count > slots.count { grow() }
    return Int32(count)
  }

  /// The slot of the state with the members `found`, or the free one where it belongs.
  private func slotOfFound() -> Int {
    var slot = hash(found[...])
    while slots[slot] >= 0, !set(of: slots[slot]).elementsEqual(found) {
      slot = (slot + 1) & (slots.count - 1)
    }
    return slot
  }

  private func hash(_ members: ArraySlice<Int32>) -> Int {
    var hash = seed
    for member in members {
      hash = (hash ^ UInt64(truncatingIfNeeded: member)) &* 0x9e37_79b9_7f4a_7c15
      hash ^= hash >> 29
    }
    return Int(truncatingIfNeeded: (hash &* 0xbf58_476d_1ce4_e5b9) >> 32) & (slots.count - 1)
  }

  private mutating func grow() {
    slots = Array(repeating: -1, count: 2 * slots.count)
    for state in 0..<Int32(bounds.count - 1) {
      var slot = hash(set(of: state))
      while slots[slot] >= 0 { slot = (slot + 1) & (slots.count - 1) }
      slots[slot] = state
    }
  }
}
