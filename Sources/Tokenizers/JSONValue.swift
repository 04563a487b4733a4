// A JSON document as a tree, for the small settings files. The big vocabulary is never read this
// way. Numbers that are no integers of 64 bits keep only the fact that they are numbers.

/// A JSON value.
///
/// Of members with the same name the last one counts.
enum JSONValue: Hashable {
  case null
  case bool(Bool)
  case integer(Int)
  case otherNumber
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  /// Reads a whole file.
  init(_ bytes: [UInt8], file: String) throws(TokenizerError) {
    var scanner = JSONScanner(bytes, file: file)
    self = try JSONValue(&scanner)
    try scanner.finish()
  }

  /// Reads the next value.
  init(_ scanner: inout JSONScanner) throws(TokenizerError) {
    try scanner.countTreeValue()
    switch scanner.peek() {
    case UInt8(ascii: "{"):
      var members: [String: JSONValue] = [:]
      try scanner.object { (scanner, key) throws(TokenizerError) in
        members[String(decoding: key, as: UTF8.self)] = try JSONValue(&scanner)
      }
      self = .object(members)
    case UInt8(ascii: "["):
      var elements: [JSONValue] = []
      try scanner.array { (scanner) throws(TokenizerError) in
        elements.append(try JSONValue(&scanner))
      }
      self = .array(elements)
    case UInt8(ascii: "\""):
      self = .string(String(decoding: try scanner.string(), as: UTF8.self))
    case UInt8(ascii: "t"):
      try scanner.word("true")
      self = .bool(true)
    case UInt8(ascii: "f"):
      try scanner.word("false")
      self = .bool(false)
    case UInt8(ascii: "n"):
      try scanner.word("null")
      self = .null
    default:
      self = try scanner.number().map(JSONValue.integer) ?? .otherNumber
    }
  }

  /// The member of an object; `nil` for anything else.
  subscript(_ key: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members[key]
  }

  /// The text of a string.
  var string: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }

  /// The elements of an array; none for anything else.
  var elements: [JSONValue] {
    guard case .array(let elements) = self else { return [] }
    return elements
  }

  /// Whether this is `true`.
  var isTrue: Bool { self == .bool(true) }
}

extension JSONValue? {
  /// Whether the member is absent, `null`, `false` or an empty string.
  var isUnset: Bool {
    guard let self else { return true }
    return [.null, .bool(false), .string("")].contains(self)
  }
}
