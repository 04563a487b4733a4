// A pull parser for JSON over bytes. It walks a 1.5 MB tokenizer.json in a few milliseconds without
// making a tree of it. Strict: RFC 8259, depth at most 64, no lone surrogates, well-formed UTF-8.

/// Reads one JSON document from front to back.
struct JSONScanner {
  /// Containers inside containers that are followed.
  static let deepest = 64
  /// Values that are made into trees; one takes many times the memory of its text.
  static let mostTreeValues = 1 << 16

  private let bytes: [UInt8]
  private let file: String
  private var position = 0
  private var depth = 0
  private var treeValues = 0

  /// Starts at the front of `bytes`; `file` is named in errors.
  init(_ bytes: [UInt8], file: String) {
    self.bytes = bytes
    self.file = file
  }

  /// The first byte of the next value, which tells its type; 0 at the end.
  mutating func peek() -> UInt8 {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0a, 0x0d: position += 1
      case let byte: return byte
      }
    }
    return 0
  }

  /// Refuses anything but white space after the document.
  mutating func finish() throws(TokenizerError) {
    _ = peek()
    guard position == bytes.count else { throw failure("text after the document") }
  }

  /// Reads an object; `member` gets each key and must read the value.
  mutating func object(
    _ member: (inout JSONScanner, [UInt8]) throws(TokenizerError) -> Void
  ) throws(TokenizerError) {
    try open("{")
    guard peek() != UInt8(ascii: "}") else { return close() }
    while true {
      let key = try string()
      try take(":")
      try member(&self, key)
      guard peek() == UInt8(ascii: ",") else { break }
      position += 1
    }
    try take("}")
    depth -= 1
  }

  /// Reads an array; `element` must read each element.
  mutating func array(
    _ element: (inout JSONScanner) throws(TokenizerError) -> Void
  ) throws(TokenizerError) {
    try open("[")
    guard peek() != UInt8(ascii: "]") else { return close() }
    while true {
      try element(&self)
      guard peek() == UInt8(ascii: ",") else { break }
      position += 1
    }
    try take("]")
    depth -= 1
  }

  /// A string as UTF-8, its escapes resolved.
  mutating func string() throws(TokenizerError) -> [UInt8] {
    var text: [UInt8] = []
    try string(into: &text)
    return text
  }

  /// Appends a string to `text` as UTF-8, its escapes resolved.
  mutating func string(into text: inout [UInt8]) throws(TokenizerError) {
    try take("\"")
    while position < bytes.count {
      let byte = bytes[position]
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        return
      case UInt8(ascii: "\\"):
        position += 1
        try escape(into: &text)
      case 0..<0x20:
        throw failure("control character in a string")
      case 0x20..<0x80:
        text.append(byte)
        position += 1
      default:
        guard let scalar = UTF8Sequence.scalar(in: bytes, at: position, end: bytes.count) else {
          throw failure("invalid UTF-8")
        }
        text.append(contentsOf: bytes[position..<(position + scalar.length)])
        position += scalar.length
      }
    }
    throw failure("string cut short")
  }

  /// A number, as an integer where it is one that fits.
  mutating func number() throws(TokenizerError) -> Int? {
    _ = peek()
    let start = position
    if position < bytes.count, bytes[position] == UInt8(ascii: "-") { position += 1 }
    let first = position
    try digits()
    guard position == first + 1 || bytes[first] != UInt8(ascii: "0") else {
      throw failure("number with a leading zero")
    }
    let end = position
    if position < bytes.count, bytes[position] == UInt8(ascii: ".") {
      position += 1
      try digits()
    }
    if position < bytes.count, bytes[position] | 0x20 == UInt8(ascii: "e") {
      position += 1
      if position < bytes.count, [UInt8(ascii: "+"), UInt8(ascii: "-")].contains(bytes[position]) {
        position += 1
      }
      try digits()
    }
    guard end == position else { return nil }
    return Int(String(decoding: bytes[start..<end], as: UTF8.self))
  }

  /// One of the bare words `true`, `false` and `null`.
  mutating func word(_ word: StaticString) throws(TokenizerError) {
    _ = peek()
    let count = word.utf8CodeUnitCount
    let matches =
      bytes.count - position >= count
      && word.withUTF8Buffer { bytes[position..<(position + count)].elementsEqual($0) }
    guard matches else { throw failure("unknown word") }
    position += count
  }

  /// Passes over a value that is not needed.
  mutating func skip() throws(TokenizerError) {
    switch peek() {
    case UInt8(ascii: "{"):
      try object { (scanner, _) throws(TokenizerError) in try scanner.skip() }
    case UInt8(ascii: "["):
      try array { (scanner) throws(TokenizerError) in try scanner.skip() }
    case UInt8(ascii: "\""): _ = try string()
    case UInt8(ascii: "t"): try word("true")
    case UInt8(ascii: "f"): try word("false")
    case UInt8(ascii: "n"): try word("null")
    default: _ = try number()
    }
  }

  /// Counts a value that becomes part of a tree.
  mutating func countTreeValue() throws(TokenizerError) {
    treeValues += 1
    guard treeValues <= Self.mostTreeValues else {
      throw failure("more than \(Self.mostTreeValues) settings")
    }
  }

  /// The error for what stands here.
  func failure(_ reason: String) -> TokenizerError {
    .malformed(file: file, offset: position, reason: reason)
  }

  private mutating func open(_ bracket: Unicode.Scalar) throws(TokenizerError) {
    guard depth < Self.deepest else { throw failure("more than \(Self.deepest) levels") }
    try take(bracket)
    depth += 1
  }

  private mutating func close() {
    position += 1
    depth -= 1
  }

  private mutating func take(_ character: Unicode.Scalar) throws(TokenizerError) {
    guard peek() == UInt8(ascii: character) else { throw failure("expected \(character)") }
    position += 1
  }

  private mutating func digits() throws(TokenizerError) {
    let start = position
    while position < bytes.count, 0x30...0x39 ~= bytes[position] { position += 1 }
    guard position > start else { throw failure("expected a value") }
  }

  private mutating func escape(into text: inout [UInt8]) throws(TokenizerError) {
    guard position < bytes.count else { throw failure("string cut short") }
    let letter = bytes[position]
    position += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(letter)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0c)
    case UInt8(ascii: "n"): text.append(0x0a)
    case UInt8(ascii: "r"): text.append(0x0d)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"):
      guard let scalar = try Unicode.Scalar(escapedScalar()) else {
        throw failure("lone surrogate")
      }
      text.append(contentsOf: String(scalar).utf8)
    default: throw failure("unknown escape")
    }
  }

  /// The scalar of `\uXXXX` or of a surrogate pair; a lone surrogate is returned as it stands.
  private mutating func escapedScalar() throws(TokenizerError) -> UInt32 {
    let unit = try hexUnit()
    guard 0xd800..<0xdc00 ~= unit, bytes.count - position >= 2,
      bytes[position] == UInt8(ascii: "\\"),
      bytes[position + 1] == UInt8(ascii: "u")
    else { return unit }
    position += 2
    let second = try hexUnit()
    guard 0xdc00..<0xe000 ~= second else { throw failure("lone surrogate") }
    return 0x10000 + (unit - 0xd800) << 10 + (second - 0xdc00)
  }

  private mutating func hexUnit() throws(TokenizerError) -> UInt32 {
    guard bytes.count - position >= 4 else { throw failure("escape cut short") }
    var unit: UInt32 = 0
    for _ in 0..<4 {
      guard let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue else {
        throw failure("escape is not hexadecimal")
      }
      unit = unit << 4 | UInt32(digit)
      position += 1
    }
    return unit
  }
}
