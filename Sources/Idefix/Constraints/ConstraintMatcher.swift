// Which tokens may come next under a constraint. The automaton is made deterministic as it is walked; each of its states
// remembers its mask. Work is linear in text and vocabulary, and bounded: a constraint that exceeds the bounds fails
// the request instead of letting anything through.

/// The constraint of one request.
///
/// Belongs to the engine thread.
final class ConstraintMatcher {
  private static let unknown: Int32 = -2
  private static let dead: Int32 = -1
  /// Most deterministic states of one request.
  private static let maximumStates = 4096
  /// Most elementary moves of one request.
  private static let maximumWork = 100_000_000

  private let automaton: ByteAutomaton
  private let table: TokenTable
  /// Nondeterministic states of each deterministic one, sorted.
  private var sets: [[Int32]] = []
  private var known: [[Int32]: Int32] = [:]
  /// Next states, `[state][byte]`.
  private var moves: [[Int32]] = []
  /// Tokens that each state allows, one bit each; empty until needed.
  private var masks: [[UInt64]] = []
  private var work = 0
  /// Whether a bound was exceeded.
  private(set) var hasFailed = false
  /// The state before any text.
  private(set) var start: Int32 = 0

  init(_ automaton: ByteAutomaton, table: TokenTable) {
    self.automaton = automaton
    self.table = table
    start = state(of: [automaton.start])
  }

  /// Whether the text may end in `state`.
  func accepts(_ state: Int32) -> Bool { state >= 0 && sets[Int(state)].first == 0 }

  /// Whether the text must end in `state`.
  func isFinal(_ state: Int32) -> Bool { state >= 0 && sets[Int(state)] == [0] }

  /// The state after a token.
  func state(after token: Int32, from state: Int32) -> Int32 {
    var state = state
    for byte in table.bytes(of: token) where state >= 0 { state = move(state, byte) }
    return state
  }

  /// Bars every token that `state` does not allow; `ends` are allowed where the text may end.
  func mask(_ scores: inout [Float], in state: Int32, ends: [Int32]) {
    let isOver = accepts(state) && !hasFailed
    let kept = isOver ? ends.map { ($0, scores[Int($0)]) } : []
    let allowed = state >= 0 && !hasFailed ? mask(of: state, count: scores.count) : []
    for index in scores.indices
    where hasFailed || allowed.isEmpty || allowed[index / 64] & 1 << UInt64(index % 64) == 0 {
      scores[index] = -.infinity
    }
    for (token, score) in kept { scores[Int(token)] = score }
  }

  private func mask(of state: Int32, count: Int) -> [UInt64] {
    if !masks[Int(state)].isEmpty { return masks[Int(state)] }
    var mask = [UInt64](repeating: 0, count: (max(count, table.idLimit) + 63) / 64)
    // States after each byte of the token at hand; shorter once the automaton refused.
    var path = [state]
    for (place, token) in table.order.enumerated() {
      let bytes = table.bytes(of: token)
      // A prefix that was refused is refused here too.
      guard path.count > table.shared[place] + 1 || path.last ?? -1 >= 0 else { continue }
      path.removeLast(max(0, path.count - 1 - table.shared[place]))
      for byte in bytes.dropFirst(path.count - 1) {
        guard let last = path.last, last >= 0 else { break }
        path.append(move(last, byte))
      }
      if path.count == bytes.count + 1, let last = path.last, last >= 0 {
        mask[Int(token) / 64] |= 1 << UInt64(token % 64)
      }
    }
    masks[Int(state)] = mask
    return mask
  }

  private func move(_ state: Int32, _ byte: UInt8) -> Int32 {
    let next = moves[Int(state)][Int(byte)]
    guard next == Self.unknown else { return next }
    var targets: [Int32] = []
    work += sets[Int(state)].count
    for index in sets[Int(state)] {
      if case .byte(let range, let next) = automaton.states[Int(index)], range.contains(byte) {
        targets.append(next)
      }
    }
    let target = targets.isEmpty ? Self.dead : self.state(of: targets)
    moves[Int(state)][Int(byte)] = target
    return target
  }

  /// The deterministic state of everything that can be reached from `seeds` without a byte.
  private func state(of seeds: [Int32]) -> Int32 {
    var reached = Set(seeds)
    var open = Array(reached)
    while let index = open.popLast() {
      work += 1
      guard case .split(let next) = automaton.states[Int(index)] else { continue }
      for target in next where reached.insert(target).inserted { open.append(target) }
    }
    let set = reached.filter {
      if case .split = automaton.states[Int($0)] { false } else { true }
    }.sorted()
    if let index = known[set] { return index }
    guard sets.count < Self.maximumStates, work < Self.maximumWork, !hasFailed else {
      hasFailed = true
      return Self.dead
    }
    sets.append(set)
    moves.append(Array(repeating: Self.unknown, count: 256))
    masks.append([])
    known[set] = Int32(sets.count - 1)
    return Int32(sets.count - 1)
  }
}
