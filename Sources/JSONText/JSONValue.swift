// A JSON document as a tree, for small files. Refuses, beside what the scanner refuses, more values than
// any settings file has: a value takes many times the memory of its text.

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

  /// Values that a document, or a part that is read by itself, may have.
  public static let maximumCount = 1 << 15

  /// Parses a whole text.
  public init(parsing bytes: [UInt8]) throws(JSONError) {
    var scanner = JSONScanner(bytes)
    self = try JSONValue(&scanner)
    try scanner.end()
  }

  /// Reads the next value of `scanner`.
  public init(_ scanner: inout JSONScanner) throws(JSONError) {
    var room = Self.maximumCount
    self = try JSONValue(&scanner, room: &room)
  }

  private init(_ scanner: inout JSONScanner, room: inout Int) throws(JSONError) {
    guard room > 0 else { throw scanner.error("more than \(Self.maximumCount) values") }
    room -= 1
    switch try scanner.kind() {
    case .object:
      var members: [String: JSONValue] = [:]
      try scanner.object { (scanner, key) throws(JSONError) in
        members[key] = try JSONValue(&scanner, room: &room)
      }
      self = .object(members)
    case .array:
      var values: [JSONValue] = []
      try scanner.array { (scanner) throws(JSONError) in
        values.append(try JSONValue(&scanner, room: &room))
      }
      self = .array(values)
    case .string: self = .string(try scanner.string())
    case .bool: self = .bool(try scanner.bool())
    case .null:
      try scanner.null()
      self = .null
    case .number:
      let text = try scanner.number()
      if let value = Int(text) {
        self = .integer(value)
      } else {
        guard let value = Double(text), value.isFinite else {
          throw scanner.error("number out of range")
        }
        self = .number(value)
      }
    }
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
