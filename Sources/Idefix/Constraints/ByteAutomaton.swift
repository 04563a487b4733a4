// A pattern as a nondeterministic automaton over bytes. Immutable and bounded: a pattern that would need more states
// than the limit, or more work (repetitions of nothing need no states), is refused while it is being built.

/// A nondeterministic automaton with explicit empty moves.
package struct ByteAutomaton: Sendable {
  /// One state.
  package enum State: Sendable, Equatable {
    /// The end of a match.
    case accept
    /// Moves on any byte of the range.
    case byte(ClosedRange<UInt8>, next: Int32)
    /// Moves without a byte.
    case split([Int32])
  }

  /// Most states an automaton may have.
  package static let maximumStates = 20_000
  /// Most parts of a pattern that are looked at, each as often as it is repeated.
  private static let maximumParts = 100_000

  /// The states; state 0 accepts.
  package private(set) var states: [State] = [.accept]
  /// Bytes within which a state cannot be told from its twin.
  package let horizon: Int
  /// For each state one that takes the same beginnings of texts, up to `horizon` bytes: of long repetitions all copies
  /// but the last ones have the same twins.
  package private(set) var twins: [Int32] = [0]
  /// Where matching starts.
  package private(set) var start: Int32 = 0
  /// For each byte its class, ascending: no state tells bytes of a class apart.
  package private(set) var classes: [UInt8] = []
  /// Classes of bytes.
  package var classCount: Int { (classes.last.map { Int($0) } ?? 0) + 1 }
  private var parts = 0
  /// Sets of scalars met so far as sequences of byte ranges: what is repeated is split once.
  private var sequences: [[ClosedRange<UInt32>]: [[ClosedRange<UInt8>]]] = [:]

  /// The automaton of a pattern that has to match the whole text; `horizon` is best the length of the longest token.
  package init(_ pattern: Pattern, horizon: Int = 32) throws(EngineError) {
    self.horizon = horizon
    start = try compile(pattern, next: 0)
    sequences = [:]
    var begins = [Bool](repeating: false, count: 257)
    for case .byte(let range, _) in states {
      begins[Int(range.lowerBound)] = true
      begins[Int(range.upperBound) + 1] = true
    }
    var last: UInt8 = 0
    classes = (0..<256).map { byte in
      if byte > 0, begins[byte] { last += 1 }
      return last
    }
  }

  private mutating func add(_ state: State) throws(EngineError) -> Int32 {
    guard states.count < Self.maximumStates else {
      throw .invalidConstraint(reason: "it is too large")
    }
    states.append(state)
    twins.append(Int32(twins.count))
    return Int32(states.count - 1)
  }

  private mutating func sequences(of ranges: [ClosedRange<UInt32>]) -> [[ClosedRange<UInt8>]] {
    if let known = sequences[ranges] { return known }
    let split = ranges.flatMap(UTF8Ranges.sequences)
    sequences[ranges] = split
    return split
  }

  /// The state from which `pattern` leads to `next`.
  private mutating func compile(_ pattern: Pattern, next: Int32) throws(EngineError) -> Int32 {
    parts += 1
    guard parts <= Self.maximumParts else { throw .invalidConstraint(reason: "it is too large") }
    switch pattern {
    case .empty: return next
    case .scalars(let ranges):
      var starts: [Int32] = []
      for bytes in sequences(of: ranges) {
        var state = next
        for range in bytes.reversed() { state = try add(.byte(range, next: state)) }
        starts.append(state)
      }
      return starts.count == 1 ? starts[0] : try add(.split(starts))
    case .sequence(let items):
      var state = next
      for item in items.reversed() { state = try compile(item, next: state) }
      return state
    case .choice(let options):
      var starts: [Int32] = []
      for option in options { starts.append(try compile(option, next: next)) }
      return try add(.split(starts))
    case .repeated(let item, let minimum, let maximum):
      var state = next
      if let maximum {
        state = try copies(maximum - minimum, of: item, next: next, exit: next)
      } else {
        let loop = try add(.split([]))
        states[Int(loop)] = .split([try compile(item, next: loop), next])
        state = loop
      }
      return try copies(minimum, of: item, next: state)
    }
  }

  /// The state from which `count` copies of `item` lead to `next`; each is optional if there is an `exit`.
  private mutating func copies(
    _ count: Int,
    of item: Pattern,
    next: Int32,
    exit: Int32? = nil
  ) throws(EngineError) -> Int32 {
    var state = next
    // A text has to pass each copy to come to the next, so it takes a byte for each: whoever is `horizon` copies away
    // from the end does not see it.
    let hasTwins = count > horizon + 1 && !item.isNullable
    var twin = 0
    for copy in 0..<count {
      let first = states.count
      state = try compile(item, next: state)
      if let exit { state = try add(.split([state, exit])) }
      if copy == horizon { twin = first }
      guard hasTwins, copy > horizon else { continue }
      // All copies consist of the same states in the same order.
      for index in first..<states.count { twins[index] = twins[twin + index - first] }
    }
    return state
  }
}
