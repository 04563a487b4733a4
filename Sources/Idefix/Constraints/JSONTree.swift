// JSON with the order of its keys, for schemas: an answer's fields come in the order in which the schema names them.
// Refuses documents that nest deeper or are longer than a schema needs to be.

import JSONText

/// A JSON value.
package indirect enum JSONTree: Sendable, Equatable {
  case null
  case bool(Bool)
  /// A number as it is spelt.
  case number(String)
  case string(String)
  case array([JSONTree])
  case object([(key: String, value: JSONTree)])

  /// Longest document that is read, in bytes.
  package static let maximumBytes = 256 << 10

  package static func == (a: JSONTree, b: JSONTree) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let a), .bool(let b)): a == b
    case (.number(let a), .number(let b)): a == b
    case (.string(let a), .string(let b)): a == b
    case (.array(let a), .array(let b)): a == b
    case (.object(let a), .object(let b)):
      a.elementsEqual(b) { $0.key == $1.key && $0.value == $1.value }
    default: false
    }
  }

  /// Reads a document; `nil` if it is not JSON or exceeds the limits.
  package init?(_ text: String) {
    guard text.utf8.count <= Self.maximumBytes else { return nil }
    var scanner = JSONScanner(Array(text.utf8))
    guard let value = try? Self(&scanner), (try? scanner.end()) != nil else { return nil }
    self = value
  }

  private init(_ scanner: inout JSONScanner) throws(JSONError) {
    switch try scanner.kind() {
    case .object:
      var fields: [(key: String, value: JSONTree)] = []
      try scanner.object { (scanner, key) throws(JSONError) in
        fields.append((key, try JSONTree(&scanner)))
      }
      self = .object(fields)
    case .array:
      var values: [JSONTree] = []
      try scanner.array { (scanner) throws(JSONError) in values.append(try JSONTree(&scanner)) }
      self = .array(values)
    case .string: self = .string(try scanner.string())
    case .number: self = .number(try scanner.number())
    case .bool: self = .bool(try scanner.bool())
    case .null:
      try scanner.null()
      self = .null
    }
  }

  /// The value of a key; `nil` if this is no object or has no such key.
  package subscript(key: String) -> JSONTree? {
    guard case .object(let fields) = self else { return nil }
    return fields.first { $0.key == key }?.value
  }

  /// The shortest text of the value.
  package var text: String {
    switch self {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .number(let digits): digits
    case .string(let string): Self.quoted(string)
    case .array(let values): "[" + values.map(\.text).joined(separator: ",") + "]"
    case .object(let fields):
      "{" + fields.map { Self.quoted($0.key) + ":" + $0.value.text }.joined(separator: ",") + "}"
    }
  }

  /// A string as JSON spells it.
  package static func quoted(_ string: String) -> String {
    var out = "\""
    for scalar in string.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case _ where scalar.value < 0x20:
        let digits = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}
