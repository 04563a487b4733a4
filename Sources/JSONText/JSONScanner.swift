// A strict pull parser (RFC 8259) for JSON that came from outside: nothing is built that the caller does
// not ask for, so a 1.5 MB vocabulary is walked in a few milliseconds. It exists because Foundation's
// parsers accept duplicate keys, silently keeping one of them: two readers of one file could then see two
// different models. Refuses invalid UTF-8, lone surrogates, deep nesting and anything after the value.
// Callers bound the number of bytes.

/// Reads one JSON document from front to back.
public struct JSONScanner {
  /// Objects and arrays that may enclose a value.
  public static let maximumDepth = 64
  /// Bytes that a number may have.
  public static let maximumDigits = 64

  /// What a value is, told by its first byte.
  public enum Kind: Sendable {
    case object, array, string, number, bool, null
  }

  private let bytes: [UInt8]
  private var position = 0
  private var depth = 0

  /// Starts at the front of `bytes`.
  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// An error at the current position.
  public func error(_ reason: String) -> JSONError { JSONError(offset: position, reason: reason) }

  /// The kind of the next value; not yet whether it is well-formed.
  public mutating func kind() throws(JSONError) -> Kind {
    skipSpace()
    guard let byte = peek else { throw error("expected a value") }
    switch byte {
    case UInt8(ascii: "{"): return .object
    case UInt8(ascii: "["): return .array
    case UInt8(ascii: "\""): return .string
    case UInt8(ascii: "t"), UInt8(ascii: "f"): return .bool
    case UInt8(ascii: "n"): return .null
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
    default: throw error("expected a value")
    }
  }

  /// Checks that nothing but white space is left.
  public mutating func end() throws(JSONError) {
    skipSpace()
    guard position == bytes.count else { throw error("text after the value") }
  }

  /// Reads an object: `body` gets each key, all different, and must read its value.
  public mutating func object(
    _ body: (inout JSONScanner, String) throws(JSONError) -> Void
  ) throws(JSONError) {
    var keys: Set<String> = []
    try members { (scanner, utf8) throws(JSONError) in
      let key = String(decoding: utf8, as: UTF8.self)
      guard keys.insert(key).inserted else {
        throw scanner.error("duplicate key \(Self.quoted(key))")
      }
      try body(&scanner, key)
    }
  }

  /// Reads an object whose keys may be many: `body` gets each as UTF-8 and must read its value.
  ///
  /// Whether keys occur twice is for `body` to find out.
  public mutating func members(
    _ body: (inout JSONScanner, [UInt8]) throws(JSONError) -> Void
  ) throws(JSONError) {
    try enter("{")
    defer { depth -= 1 }
    if consume("}") { return }
    repeat {
      var key: [UInt8] = []
      try string(into: &key)
      guard consume(":") else { throw error("expected \":\"") }
      try body(&self, key)
    } while consume(",")
    guard consume("}") else { throw error("expected \",\" or \"}\"") }
  }

  /// Reads an array; `body` must read each element.
  public mutating func array(
    _ body: (inout JSONScanner) throws(JSONError) -> Void
  ) throws(JSONError) {
    try enter("[")
    defer { depth -= 1 }
    if consume("]") { return }
    repeat { try body(&self) } while consume(",")
    guard consume("]") else { throw error("expected \",\" or \"]\"") }
  }

  /// Reads a text.
  public mutating func string() throws(JSONError) -> String {
    var utf8: [UInt8] = []
    try string(into: &utf8)
    return String(decoding: utf8, as: UTF8.self)
  }

  /// Appends a text to `utf8`, its escapes resolved.
  public mutating func string(into utf8: inout [UInt8]) throws(JSONError) {
    guard consume("\"") else { throw error("expected a text") }
    var start = position
    while let byte = peek {
      switch byte {
      case UInt8(ascii: "\""):
        try append(start..<position, to: &utf8)
        position += 1
        return
      case UInt8(ascii: "\\"):
        try append(start..<position, to: &utf8)
        position += 1
        utf8.append(contentsOf: Character(try escape()).utf8)
        start = position
      case 0..<0x20: throw error("control character in a text")
      default: position += 1
      }
    }
    throw error("unterminated text")
  }

  /// Reads a number as it is spelt.
  public mutating func number() throws(JSONError) -> String {
    skipSpace()
    let start = position
    _ = skip("-")
    if !skip("0") {
      guard digits() else { throw error("expected a value") }
    }
    if skip(".") {
      guard digits() else { throw error("expected a digit") }
    }
    if skip("e") || skip("E") {
      if !skip("+") { _ = skip("-") }
      guard digits() else { throw error("expected a digit") }
    }
    guard position - start <= Self.maximumDigits else {
      throw error("number of more than \(Self.maximumDigits) digits")
    }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  /// Reads a non-negative integer that fits an `Int`.
  public mutating func count() throws(JSONError) -> Int {
    guard let value = Int(try number()), value >= 0 else {
      throw error("expected a non-negative integer")
    }
    return value
  }

  /// Reads `true` or `false`.
  public mutating func bool() throws(JSONError) -> Bool {
    skipSpace()
    if skipWord("true") { return true }
    guard skipWord("false") else { throw error("expected a value") }
    return false
  }

  /// Reads `null`.
  public mutating func null() throws(JSONError) {
    skipSpace()
    guard skipWord("null") else { throw error("expected a value") }
  }

  /// Reads a value that is not needed.
  public mutating func skip() throws(JSONError) {
    switch try kind() {
    case .object: try object { (scanner, _) throws(JSONError) in try scanner.skip() }
    case .array: try array { (scanner) throws(JSONError) in try scanner.skip() }
    case .string: _ = try string()
    case .number: _ = try number()
    case .bool: _ = try bool()
    case .null: try null()
    }
  }

  // MARK: Characters

  private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipSpace() {
    while let byte = peek, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 {
      position += 1
    }
  }

  private mutating func skip(_ character: Unicode.Scalar) -> Bool {
    guard peek == UInt8(ascii: character) else { return false }
    position += 1
    return true
  }

  private mutating func skipWord(_ word: StaticString) -> Bool {
    let count = word.utf8CodeUnitCount
    let matches = word.withUTF8Buffer { expected in
      bytes.count - position >= count
        && expected.elementsEqual(bytes[position..<(position + count)])
    }
    if matches { position += count }
    return matches
  }

  private mutating func consume(_ character: Unicode.Scalar) -> Bool {
    skipSpace()
    return skip(character)
  }

  private mutating func enter(_ bracket: Unicode.Scalar) throws(JSONError) {
    guard consume(bracket) else { throw error("expected \"\(bracket)\"") }
    guard depth < Self.maximumDepth else {
      throw error("nesting deeper than \(Self.maximumDepth)")
    }
    depth += 1
  }

  private mutating func digits() -> Bool {
    let start = position
    while let byte = peek, UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte { position += 1 }
    return position > start
  }

  /// Appends bytes that must be UTF-8 by themselves: quotes and backslashes never lie inside a
  /// scalar.
  private func append(_ range: Range<Int>, to utf8: inout [UInt8]) throws(JSONError) {
    guard !range.isEmpty else { return }
    let text = bytes[range]
    guard text.allSatisfy({ $0 < 0x80 }) || String(validating: text, as: UTF8.self) != nil else {
      throw error("text that is not UTF-8")
    }
    utf8.append(contentsOf: text)
  }

  private mutating func escape() throws(JSONError) -> Unicode.Scalar {
    guard let letter = peek else { throw error("unterminated text") }
    position += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(letter)
    case UInt8(ascii: "b"): return "\u{08}"
    case UInt8(ascii: "f"): return "\u{0c}"
    case UInt8(ascii: "n"): return "\n"
    case UInt8(ascii: "r"): return "\r"
    case UInt8(ascii: "t"): return "\t"
    case UInt8(ascii: "u"): return try escapedScalar()
    default: throw error("unknown escape")
    }
  }

  /// The scalar of four hexadecimal digits, or of a surrogate pair.
  private mutating func escapedScalar() throws(JSONError) -> Unicode.Scalar {
    let first = try hexadecimal()
    if let scalar = Unicode.Scalar(first) { return scalar }
    guard 0xd800..<0xdc00 ~= first, skip("\\"), skip("u") else { throw error("lone surrogate") }
    let second = try hexadecimal()
    guard 0xdc00..<0xe000 ~= second,
      let scalar = Unicode.Scalar(0x10000 + (first - 0xd800) << 10 + (second - 0xdc00))
    else { throw error("lone surrogate") }
    return scalar
  }

  private mutating func hexadecimal() throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = peek else { throw error("unterminated text") }
      guard byte < 0x80, let digit = Character(Unicode.Scalar(byte)).hexDigitValue else {
        throw error("bad hexadecimal digit")
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }

  /// A key as an error may show it: short, and without control characters.
  private static func quoted(_ key: String) -> String {
    let shown = key.unicodeScalars.prefix(80).map { $0.value < 0x20 ? " " : String($0) }.joined()
    return "\"\(shown)\(key.unicodeScalars.count > 80 ? "…" : "")\""
  }
}
