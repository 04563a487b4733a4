// From what a caller asks for to an automaton. An answer continues the prompt, so it may begin with one space.

extension Constraint {
  /// Most choices.
  package static let maximumChoices = 1000

  /// The automaton of the answers that are allowed, for tokens of up to `horizon` bytes.
  package func automaton(horizon: Int = 32) throws(EngineError) -> ByteAutomaton {
    let pattern: Pattern
    switch self {
    case .choices(let choices):
      guard !choices.isEmpty, choices.count <= Self.maximumChoices else {
        throw .invalidConstraint(reason: "it needs 1 to \(Self.maximumChoices) choices")
      }
      guard choices.allSatisfy({ !$0.isEmpty }) else {
        throw .invalidConstraint(reason: "a choice must not be empty")
      }
      pattern = .choice(choices.map { .text($0) })
    case .regex(let expression): pattern = try RegexParser.parse(expression)
    case .jsonSchema(let schema): pattern = try SchemaPattern.compile(schema)
    }
    return try ByteAutomaton(.sequence([.optional(.text(" ")), pattern]), horizon: horizon)
  }
}
