// JSON schemas as patterns. What is generated always satisfies the schema; not everything that satisfies it can be
// generated (fields come in the schema's order, no extra fields, at most one space after `:` and `,`). A keyword that would
// restrict the document but is not implemented is refused: fail closed.
//
// Implemented: type (also lists), enum, const, properties, required, items, minItems, maxItems, minLength, maxLength,
// pattern, anyOf, allOf of one, $ref to $defs or definitions (no cycles), boolean, null, integer, number, string.

import JSONText

/// Compiles JSON schemas.
package struct SchemaPattern {
  /// Most parts of a compiled schema: bounds what references can multiply to.
  private static let maximumParts = 20_000
  /// Largest count in minItems, maxItems, minLength, maxLength.
  private static let maximumCount = 1000
  /// Keywords that say nothing about the document.
  private static let annotations: Set<String> = [
    "title", "description", "default", "examples", "$schema", "$id", "$comment", "$defs",
    "definitions", "deprecated", "readOnly", "writeOnly", "format", "additionalProperties",
  ]

  private let root: JSONTree
  private var parts = 0
  private var depth = 0

  /// The pattern of the documents of a schema.
  package static func compile(_ schema: String) throws(EngineError) -> Pattern {
    guard let tree = JSONTree(schema) else {
      throw .invalidConstraint(
        reason: "the schema is not JSON, or it is too long or nests too deeply"
      )
    }
    var compiler = SchemaPattern(root: tree)
    return try compiler.pattern(of: tree)
  }

  private init(root: JSONTree) { self.root = root }

  private mutating func pattern(of schema: JSONTree) throws(EngineError) -> Pattern {
    parts += 1
    guard parts <= Self.maximumParts else { throw refusal("is too large") }
    guard depth < JSONScanner.maximumDepth else {
      throw refusal("refers to itself or nests too deeply")
    }
    depth += 1
    defer { depth -= 1 }
    guard case .object(let fields) = schema else {
      throw refusal("must be an object at every place")
    }
    let keys = Set(fields.map(\.key)).subtracting(Self.annotations)
    func only(_ allowed: String...) throws(EngineError) {
      if let other = keys.subtracting(allowed).min() { throw unsupported(other) }
    }
    if let value = schema["const"] {
      try only("const", "type")
      return .text(value.text)
    }
    if case .array(let values)? = schema["enum"] {
      try only("enum", "type")
      guard !values.isEmpty else { throw refusal("has an empty enum") }
      return .choice(values.map { .text($0.text) })
    }
    if case .string(let reference)? = schema["$ref"] {
      try only("$ref")
      return try pattern(of: target(of: reference))
    }
    if case .array(let options)? = schema["anyOf"] {
      try only("anyOf")
      guard !options.isEmpty else { throw refusal("has an empty anyOf") }
      var patterns: [Pattern] = []
      for option in options { patterns.append(try pattern(of: option)) }
      return .choice(patterns)
    }
    if case .array(let all)? = schema["allOf"], all.count == 1 {
      try only("allOf")
      return try pattern(of: all[0])
    }
    switch schema["type"] {
    case .string(let type): return try pattern(ofType: type, schema, keys)
    case .array(let types):
      var patterns: [Pattern] = []
      for case .string(let type) in types {
        patterns.append(try pattern(ofType: type, schema, keys))
      }
      guard patterns.count == types.count, !types.isEmpty else { throw unsupported("type") }
      return .choice(patterns)
    case nil where schema["properties"] != nil: return try pattern(ofType: "object", schema, keys)
    default: throw keys.min().map { unsupported($0) } ?? refusal("allows anything somewhere")
    }
  }

  private mutating func pattern(
    ofType type: String,
    _ schema: JSONTree,
    _ keys: Set<String>
  ) throws(EngineError) -> Pattern {
    let allowed: Set<String>
    switch type {
    case "object": allowed = ["type", "properties", "required"]
    case "array": allowed = ["type", "items", "minItems", "maxItems"]
    case "string": allowed = ["type", "minLength", "maxLength", "pattern"]
    default: allowed = ["type"]
    }
    if let other = keys.subtracting(allowed).min() { throw unsupported(other) }
    switch type {
    case "object": return try object(schema)
    case "array": return try array(schema)
    case "string": return try string(schema)
    case "integer": return Self.integer
    case "number": return Self.number
    case "boolean": return .choice([.text("true"), .text("false")])
    case "null": return .text("null")
    default: throw refusal("has an unknown type")
    }
  }

  private mutating func object(_ schema: JSONTree) throws(EngineError) -> Pattern {
    guard case .object(let properties)? = schema["properties"] else {
      throw refusal("has an object without properties")
    }
    var required: Set<String> = []
    if case .array(let names)? = schema["required"] {
      for case .string(let name) in names { required.insert(name) }
    }
    guard required.isSubset(of: properties.map(\.key)) else {
      throw refusal("requires a property that it does not describe")
    }
    var fields: [(pattern: Pattern, isRequired: Bool)] = []
    for (name, value) in properties {
      let field = Pattern.sequence([
        .text(JSONTree.quoted(name) + ":"), Self.space, try pattern(of: value),
      ])
      fields.append((field, required.contains(name)))
    }
    // From the last field to the first: what may follow once a field was there, and if none was yet.
    var after = Pattern.empty
    var first = Pattern.empty
    for (field, isRequired) in fields.reversed() {
      parts += fields.count
      guard parts <= Self.maximumParts else { throw refusal("is too large") }
      let begins = Pattern.sequence([field, after])
      first = isRequired ? begins : .choice([begins, first])
      let another = Pattern.sequence([.text(","), Self.space, field])
      after = .sequence([isRequired ? another : .optional(another), after])
    }
    return .sequence([.text("{"), first, .text("}")])
  }

  private mutating func array(_ schema: JSONTree) throws(EngineError) -> Pattern {
    guard let items = schema["items"] else { throw refusal("has an array without items") }
    let item = try pattern(of: items)
    let minimum = try count(schema["minItems"], "minItems") ?? 0
    let maximum = try count(schema["maxItems"], "maxItems")
    if let maximum, maximum < minimum { throw refusal("has maxItems below minItems") }
    if maximum == 0 { return .text("[]") }
    let more = Pattern.repeated(
      .sequence([.text(","), Self.space, item]),
      minimum: max(minimum - 1, 0),
      maximum: maximum.map { $0 - 1 }
    )
    let filled = Pattern.sequence([item, more])
    return .sequence([.text("["), minimum == 0 ? .optional(filled) : filled, .text("]")])
  }

  private func string(_ schema: JSONTree) throws(EngineError) -> Pattern {
    let quote = Pattern.text("\"")
    if let value = schema["pattern"] {
      guard case .string(let expression) = value, schema["minLength"] == nil,
        schema["maxLength"] == nil
      else { throw refusal("has a pattern that is no string, or a pattern and a length") }
      return .sequence([quote, try Self.plain(try RegexParser.parse(expression)), quote])
    }
    let minimum = try count(schema["minLength"], "minLength") ?? 0
    let maximum = try count(schema["maxLength"], "maxLength")
    if let maximum, maximum < minimum { throw refusal("has maxLength below minLength") }
    return .sequence([
      quote, .repeated(Self.character, minimum: minimum, maximum: maximum), quote,
    ])
  }

  /// The pattern without the characters that a JSON string would have to escape.
  private static func plain(_ pattern: Pattern) throws(EngineError) -> Pattern {
    switch pattern {
    case .empty: return .empty
    case .scalars(let ranges):
      let kept = Pattern.complement(Pattern.complement(ranges) + Self.escaped)
      guard !kept.isEmpty else {
        throw .invalidConstraint(
          reason: "the schema has a pattern that needs characters JSON escapes"
        )
      }
      return .scalars(kept)
    case .sequence(let items):
      var plain: [Pattern] = []
      for item in items { plain.append(try Self.plain(item)) }
      return .sequence(plain)
    case .choice(let options):
      var plain: [Pattern] = []
      for option in options { plain.append(try Self.plain(option)) }
      return .choice(plain)
    case .repeated(let item, let minimum, let maximum):
      return .repeated(try plain(item), minimum: minimum, maximum: maximum)
    }
  }

  private func count(_ value: JSONTree?, _ name: String) throws(EngineError) -> Int? {
    guard let value else { return nil }
    guard case .number(let digits) = value, let count = Int(digits),
      (0...Self.maximumCount).contains(count)
    else { throw refusal("needs \(name) between 0 and \(Self.maximumCount)") }
    return count
  }

  private func target(of reference: String) throws(EngineError) -> JSONTree {
    for place in ["$defs", "definitions"] where reference.hasPrefix("#/\(place)/") {
      let name = String(reference.dropFirst(place.count + 3))
      if let target = root[place]?[name] { return target }
    }
    guard reference == "#" else { throw refusal("has a $ref that leads nowhere") }
    throw refusal("refers to itself or nests too deeply")
  }

  private static let space = Pattern.optional(.text(" "))
  private static let digit = Pattern.scalars([0x30...0x39])
  private static let integer = Pattern.sequence([
    .optional(.text("-")),
    .choice([
      .text("0"),
      .sequence([.scalars([0x31...0x39]), .repeated(digit, minimum: 0, maximum: 17)]),
    ]),
  ])
  private static let number = Pattern.sequence([
    integer,
    .optional(.sequence([.text("."), .repeated(digit, minimum: 1, maximum: 18)])),
    .optional(
      .sequence([
        .scalars([0x45...0x45, 0x65...0x65]),
        .optional(.scalars([0x2b...0x2b, 0x2d...0x2d])),
        .repeated(digit, minimum: 1, maximum: 2),
      ])
    ),
  ])
  /// What a JSON string must escape.
  private static let escaped: [ClosedRange<UInt32>] = [0...0x1f, 0x22...0x22, 0x5c...0x5c]
  private static let character = Pattern.choice([
    .scalars(Pattern.complement(escaped)),
    .sequence([
      .text("\\"),
      .scalars(
        Pattern.normalized(#""\/bfnrt"#.unicodeScalars.map { $0.value...$0.value })
      ),
    ]),
  ])

  private func refusal(_ what: String) -> EngineError {
    .invalidConstraint(reason: "the schema \(what)")
  }

  private func unsupported(_ keyword: String) -> EngineError {
    refusal("uses \(keyword.prefix(40)), which is not supported there")
  }
}
