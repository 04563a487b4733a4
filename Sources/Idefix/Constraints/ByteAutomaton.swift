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
  /// Where matching starts.
  package private(set) var start: Int32 = 0
  private var parts = 0
  /// Sets of scalars met so far as sequences of byte ranges: what is repeated is split once.
  private var sequences: [[ClosedRange<UInt32>]: [[ClosedRange<UInt8>]]] = [:]

  /// The automaton of a pattern that has to match the whole text.
  package init(_ pattern: Pattern) throws(EngineError) {
    start = try compile(pattern, next: 0)
    sequences = [:]
  }

  private mutating func add(_ state: State) throws(EngineError) -> Int32 {
    guard states.count < Self.maximumStates else {
      throw .invalidConstraint(reason: "it is too large")
    }
    states.append(state)
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
        for _ in 0..<(maximum - minimum) {
          state = try add(.split([try compile(item, next: state), next]))
        }
      } else {
        let loop = try add(.split([]))
        states[Int(loop)] = .split([try compile(item, next: loop), next])
        state = loop
      }
      for _ in 0..<minimum { state = try compile(item, next: state) }
      return state
    }
  }
}
