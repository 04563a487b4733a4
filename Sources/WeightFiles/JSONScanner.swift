// A strict JSON reader (RFC 8259) for headers that came from outside. It exists because Foundation's
// parsers accept duplicate keys, silently keeping one of them: two readers of one file could then see
// two different models. Refuses duplicate keys, invalid UTF-8, lone surrogates, nesting deeper than
// 32 and anything after the value. Callers bound the number of bytes.

/// Why a text is not acceptable JSON, and where.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Byte offset of the problem.
  public let offset: Int
  /// What is wrong.
  public let reason: String

  /// `reason` and the offset.
  public var description: String { "\(reason) at byte \(offset)" }
}

/// A JSON value.
public enum JSONValue: Sendable, Hashable {
  /// `null`
  case null
  /// `true` or `false`
  case bool(Bool)
  /// A number without fraction or exponent that fits an `Int`.
  case integer(Int)
  /// Any other number.
  case number(Double)
  /// A text.
  case string(String)
  /// A list.
  case array([JSONValue])
  /// Members by name.
  case object([String: JSONValue])

  /// Parses a whole text.
  public init(parsing bytes: [UInt8]) throws(JSONError) {
    var scanner = JSONScanner(bytes)
    self = try scanner.value()
    try scanner.end()
  }

  /// The member `name` of an object, or `nil`.
  public subscript(name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members[name]
  }

  /// The text, if this is one.
  public var string: String? {
    guard case .string(let text) = self else { return nil }
    return text
  }

  /// The integer, if this is one.
  public var integer: Int? {
    guard case .integer(let value) = self else { return nil }
    return value
  }

  /// The number, if this is one.
  public var double: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  /// The truth value, if this is one.
  public var bool: Bool? {
    guard case .bool(let value) = self else { return nil }
    return value
  }

  /// The elements, if this is a list.
  public var array: [JSONValue]? {
    guard case .array(let values) = self else { return nil }
    return values
  }

  /// The members, if this is an object.
  public var object: [String: JSONValue]? {
    guard case .object(let members) = self else { return nil }
    return members
  }
}

/// A pull parser over JSON bytes: nothing is built that the caller does not ask for.
struct JSONScanner {
  /// Objects and arrays that may enclose a value.
  static let maximumDepth = 32

  private let bytes: [UInt8]
  private var position = 0
  private var depth = 0

  init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// An error at the current position.
  func error(_ reason: String) -> JSONError { JSONError(offset: position, reason: reason) }

  /// Checks that nothing but white space is left.
  mutating func end() throws(JSONError) {
    skipSpace()
    guard position == bytes.count else { throw error("text after the value") }
  }

  /// Reads an object: `body` gets each key, all different, and must read its value.
  mutating func object(
    _ body: (inout JSONScanner, String) throws(JSONError) -> Void
  ) throws(JSONError) {
    try enter("{")
    defer { depth -= 1 }
    if consume("}") { return }
    var keys: Set<String> = []
    repeat {
      skipSpace()
      let key = try string()
      guard keys.insert(key).inserted else {
        throw error("duplicate key \(WeightFileError.quoted(key))")
      }
      guard consume(":") else { throw error("expected \":\"") }
      try body(&self, key)
    } while consume(",")
    guard consume("}") else { throw error("expected \",\" or \"}\"") }
  }

  /// Reads an array; `body` must read each element.
  mutating func array(
    _ body: (inout JSONScanner) throws(JSONError) -> Void
  ) throws(JSONError) {
    try enter("[")
    defer { depth -= 1 }
    if consume("]") { return }
    repeat { try body(&self) } while consume(",")
    guard consume("]") else { throw error("expected \",\" or \"]\"") }
  }

  /// Reads a non-negative integer that fits an `Int`.
  mutating func count() throws(JSONError) -> Int {
    guard case .integer(let value) = try number(), value >= 0 else {
      throw error("expected a non-negative integer")
    }
    return value
  }

  /// Reads any value.
  mutating func value() throws(JSONError) -> JSONValue {
    skipSpace()
    guard position < bytes.count else { throw error("expected a value") }
    switch bytes[position] {
    case UInt8(ascii: "{"):
      var members: [String: JSONValue] = [:]
      try object { (scanner, key) throws(JSONError) in members[key] = try scanner.value() }
      return .object(members)
    case UInt8(ascii: "["):
      var values: [JSONValue] = []
      try array { (scanner) throws(JSONError) in values.append(try scanner.value()) }
      return .array(values)
    case UInt8(ascii: "\""): return .string(try string())
    case UInt8(ascii: "t"): return try literal("true", .bool(true))
    case UInt8(ascii: "f"): return try literal("false", .bool(false))
    case UInt8(ascii: "n"): return try literal("null", .null)
    default: return try number()
    }
  }

  /// Reads a text.
  mutating func string() throws(JSONError) -> String {
    skipSpace()
    guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
      throw error("expected a text")
    }
    position += 1
    let start = position
    while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
      guard bytes[position] != UInt8(ascii: "\\") else { return try escapedString(from: start) }
      guard bytes[position] >= 0x20 else { throw error("control character in a text") }
      position += 1
    }
    guard position < bytes.count else { throw error("unterminated text") }
    defer { position += 1 }
    return try text(bytes[start..<position])
  }

  private mutating func escapedString(from start: Int) throws(JSONError) -> String {
    var utf8 = Array(bytes[start..<position])
    while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
      let byte = bytes[position]
      guard byte >= 0x20 else { throw error("control character in a text") }
      position += 1
      guard byte == UInt8(ascii: "\\") else {
        utf8.append(byte)
        continue
      }
      guard position < bytes.count else { break }
      let escape = bytes[position]
      position += 1
      switch escape {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): utf8.append(escape)
      case UInt8(ascii: "b"): utf8.append(0x08)
      case UInt8(ascii: "f"): utf8.append(0x0c)
      case UInt8(ascii: "n"): utf8.append(0x0a)
      case UInt8(ascii: "r"): utf8.append(0x0d)
      case UInt8(ascii: "t"): utf8.append(0x09)
      case UInt8(ascii: "u"): utf8.append(contentsOf: Character(try scalar()).utf8)
      default: throw error("unknown escape")
      }
    }
    guard position < bytes.count else { throw error("unterminated text") }
    defer { position += 1 }
    return try text(utf8[...])
  }

  private mutating func scalar() throws(JSONError) -> Unicode.Scalar {
    let first = try hexadecimal()
    if let scalar = Unicode.Scalar(first) { return scalar }
    guard (0xd800..<0xdc00).contains(first), position + 1 < bytes.count,
      bytes[position] == UInt8(ascii: "\\"), bytes[position + 1] == UInt8(ascii: "u")
    else { throw error("lone surrogate") }
    position += 2
    let second = try hexadecimal()
    guard (0xdc00..<0xe000).contains(second),
      let scalar = Unicode.Scalar(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
    else { throw error("lone surrogate") }
    return scalar
  }

  private mutating func hexadecimal() throws(JSONError) -> UInt32 {
    guard bytes.count - position >= 4 else { throw error("unterminated escape") }
    var value: UInt32 = 0
    for _ in 0..<4 {
      let byte = bytes[position]
      guard byte < 0x80, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw error("bad hexadecimal digit")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }

  private func text(_ utf8: ArraySlice<UInt8>) throws(JSONError) -> String {
    guard let text = String(validating: utf8, as: UTF8.self) else {
      throw error("text that is not UTF-8")
    }
    return text
  }

  private mutating func number() throws(JSONError) -> JSONValue {
    skipSpace()
    let start = position
    if peek == UInt8(ascii: "-") { position += 1 }
    if peek == UInt8(ascii: "0") {
      position += 1
    } else {
      guard digits() else { throw error("expected a value") }
    }
    var isInteger = true
    if peek == UInt8(ascii: ".") {
      position += 1
      isInteger = false
      guard digits() else { throw error("expected a digit") }
    }
    if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
      position += 1
      isInteger = false
      if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { position += 1 }
      guard digits() else { throw error("expected a digit") }
    }
    guard position - start <= 64 else { throw error("number of more than 64 digits") }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    if isInteger, let value = Int(text) { return .integer(value) }
    guard let value = Double(text), value.isFinite else { throw error("number out of range") }
    return .number(value)
  }

  private mutating func digits() -> Bool {
    let start = position
    while let byte = peek, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { position += 1 }
    return position > start
  }

  private mutating func literal(
    _ word: StaticString,
    _ value: JSONValue
  ) throws(JSONError) -> JSONValue {
    let count = word.utf8CodeUnitCount
    let matches = word.withUTF8Buffer { expected in
      bytes.count - position >= count && zip(expected, bytes[position...]).allSatisfy { $0 == $1 }
    }
    guard matches else { throw error("expected a value") }
    position += count
    return value
  }

  private mutating func enter(_ bracket: Unicode.Scalar) throws(JSONError) {
    guard consume(bracket) else { throw error("expected \"\(bracket)\"") }
    guard depth < Self.maximumDepth else {
      throw error("nesting deeper than \(Self.maximumDepth)")
    }
    depth += 1
  }

  private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func consume(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    guard peek == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func skipSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
      position += 1
    }
  }
}
