// JSON with the order of its keys, for schemas: an answer's fields come in the order in which the schema names them.
// Refuses documents that nest deeper or are longer than a schema needs to be.

/// A JSON value.
package indirect enum JSONTree: Sendable, Equatable {
  case null
  case bool(Bool)
  /// A number as it is spelt.
  case number(String)
  case string(String)
  case array([JSONTree])
  case object([(key: String, value: JSONTree)])

  /// Deepest nesting that is read.
  package static let maximumDepth = 64
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
    var parser = JSONTreeParser(bytes: Array(text.utf8))
    guard let value = parser.document() else { return nil }
    self = value
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

/// A recursive-descent reader whose depth is bounded.
private struct JSONTreeParser {
  let bytes: [UInt8]
  var index = 0
  var depth = 0

  mutating func document() -> JSONTree? {
    guard let value = value() else { return nil }
    skipSpace()
    return index == bytes.count ? value : nil
  }

  private mutating func value() -> JSONTree? {
    skipSpace()
    guard let byte = peek else { return nil }
    switch byte {
    case UInt8(ascii: "{"): return nested { $0.object() }
    case UInt8(ascii: "["): return nested { $0.array() }
    case UInt8(ascii: "\""): return string().map { .string($0) }
    case UInt8(ascii: "t"): return literal("true", .bool(true))
    case UInt8(ascii: "f"): return literal("false", .bool(false))
    case UInt8(ascii: "n"): return literal("null", .null)
    default: return number()
    }
  }

  private mutating func nested(_ body: (inout Self) -> JSONTree?) -> JSONTree? {
    guard depth < JSONTree.maximumDepth else { return nil }
    depth += 1
    defer { depth -= 1 }
    index += 1
    return body(&self)
  }

  private mutating func object() -> JSONTree? {
    var fields: [(key: String, value: JSONTree)] = []
    var names: Set<String> = []
    skipSpace()
    if take("}") { return .object([]) }
    while true {
      skipSpace()
      guard let key = string(), names.insert(key).inserted else { return nil }
      skipSpace()
      guard take(":"), let value = value() else { return nil }
      fields.append((key, value))
      skipSpace()
      if take("}") { return .object(fields) }
      guard take(",") else { return nil }
    }
  }

  private mutating func array() -> JSONTree? {
    var values: [JSONTree] = []
    skipSpace()
    if take("]") { return .array([]) }
    while true {
      guard let value = value() else { return nil }
      values.append(value)
      skipSpace()
      if take("]") { return .array(values) }
      guard take(",") else { return nil }
    }
  }

  private mutating func string() -> String? {
    guard take("\"") else { return nil }
    var scalars = String.UnicodeScalarView()
    var plain: [UInt8] = []
    func flushed() -> String? { String(validating: plain, as: UTF8.self) }
    while let byte = peek {
      index += 1
      switch byte {
      case UInt8(ascii: "\""):
        guard let text = flushed() else { return nil }
        return String(scalars) + text
      case UInt8(ascii: "\\"):
        guard let text = flushed(), let scalar = escape() else { return nil }
        scalars.append(contentsOf: text.unicodeScalars)
        plain = []
        scalars.append(scalar)
      case 0..<0x20: return nil
      default: plain.append(byte)
      }
    }
    return nil
  }

  private mutating func escape() -> Unicode.Scalar? {
    guard let byte = peek else { return nil }
    index += 1
    switch byte {
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "b"): return "\u{8}"
    case UInt8(ascii: "f"): return "\u{c}"
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
    case UInt8(ascii: "u"):
      guard let high = hex() else { return nil }
      guard (0xd800..<0xdc00).contains(high) else { return Unicode.Scalar(high) }
      guard take("\\"), take("u"), let low = hex(), (0xdc00..<0xe000).contains(low) else {
        return nil
      }
      return Unicode.Scalar(0x10000 + (high - 0xd800) << 10 + (low - 0xdc00))
    default: return nil
    }
  }

  private mutating func hex() -> UInt32? {
    guard index + 4 <= bytes.count else { return nil }
    defer { index += 4 }
    let digits = String(decoding: bytes[index..<(index + 4)], as: UTF8.self)
    return digits.allSatisfy(\.isHexDigit) ? UInt32(digits, radix: 16) : nil
  }

  private mutating func number() -> JSONTree? {
    let start = index
    _ = take("-")
    guard digits() else { return nil }
    if take(".") { guard digits() else { return nil } }
    if take("e") || take("E") {
      if !take("-") { _ = take("+") }
      guard digits() else { return nil }
    }
    let text = String(decoding: bytes[start..<index], as: UTF8.self)
    let unsigned = text.hasPrefix("-") ? text.dropFirst() : text[...]
    let isPadded = unsigned.hasPrefix("0") && unsigned.dropFirst().first?.isNumber == true
    return isPadded ? nil : .number(text)
  }

  private mutating func digits() -> Bool {
    let start = index
    while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { index += 1 }
    return index > start
  }

  private mutating func literal(_ text: String, _ value: JSONTree) -> JSONTree? {
    guard bytes[index...].starts(with: text.utf8) else { return nil }
    index += text.utf8.count
    return value
  }

  private mutating func skipSpace() {
    while let byte = peek, [0x20, 0x0a, 0x0d, 0x09].contains(byte) { index += 1 }
  }

  private mutating func take(_ character: Unicode.Scalar) -> Bool {
    guard let byte = peek, byte == UInt8(ascii: character) else { return false }
    index += 1
    return true
  }

  private var peek: UInt8? { index < bytes.count ? bytes[index] : nil }
}
