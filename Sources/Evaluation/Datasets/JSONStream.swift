// The elements of the large arrays in a JSON file, one at a time: annotation files have hundreds of megabytes. Only
// the outermost structure is read here; each element is decoded by itself.

import Foundation

/// Walks the members of a JSON file's outermost object.
struct JSONStream {
  /// Largest element taken, in bytes.
  static let limit = 16 << 20

  private var stream: ByteStream

  init(_ path: String) throws(EvaluationError) { stream = try ByteStream(path) }

  /// Visits the outermost object's arrays element by element and its other members.
  ///
  /// - Parameters:
  ///   - arrays: Names of the arrays to walk; other members that are not plain values are skipped.
  ///   - visit: Called with the member's name, the JSON of the element or plain value, and its line.
  /// - Throws: If the structure is broken, and what `visit` throws.
  mutating func walk(
    arrays: Set<String>,
    visit: (_ name: String, _ json: Data, _ line: Int) throws(EvaluationError) -> Void
  ) throws(EvaluationError) {
    guard try skipSpace() == UInt8(ascii: "{") else {
      throw stream.failure("a JSON object is expected")
    }
    _ = try stream.next()
    if try skipSpace() == UInt8(ascii: "}") { return }
    while true {
      guard try skipSpace() == UInt8(ascii: "\"") else {
        throw stream.failure("a member's name is expected")
      }
      let name = try Self.decode(String.self, try value(), stream)
      try expect(":")
      let first = try skipSpace()
      if first == UInt8(ascii: "["), arrays.contains(name) {
        try elements { json, line throws(EvaluationError) in try visit(name, json, line) }
      } else if first == UInt8(ascii: "[") || first == UInt8(ascii: "{") {
        _ = try value(keeps: false)
      } else {
        let line = stream.line
        try visit(name, try value(), line)
      }
      switch try skipSpace() {
      case UInt8(ascii: ","): _ = try stream.next()
      case UInt8(ascii: "}"): return
      default: throw stream.failure("a comma or the end of the object is expected")
      }
    }
  }

  private mutating func elements(
    _ visit: (Data, Int) throws(EvaluationError) -> Void
  ) throws(EvaluationError) {
    try expect("[")
    if try skipSpace() == UInt8(ascii: "]") {
      _ = try stream.next()
      return
    }
    while true {
      _ = try skipSpace()
      let line = stream.line
      try visit(try value(), line)
      switch try skipSpace() {
      case UInt8(ascii: ","): _ = try stream.next()
      case UInt8(ascii: "]"):
        _ = try stream.next()
        return
      default: throw stream.failure("a comma or the end of the array is expected")
      }
    }
  }

  /// The bytes of the value that starts here: brackets balanced, strings whole.
  private mutating func value(keeps: Bool = true) throws(EvaluationError) -> Data {
    var bytes: [UInt8] = []
    var depth = 0
    var inString = false
    var isEscaped = false
    var count = 0
    while let byte = try stream.peek() {
      let isEnd =
        depth == 0 && !inString && count > 0
        && (byte == UInt8(ascii: ",") || byte == UInt8(ascii: "]") || byte == UInt8(ascii: "}")
          || byte == UInt8(ascii: ":") || Self.isSpace(byte))
      if isEnd { break }
      _ = try stream.next()
      count += 1
      if keeps {
        guard count <= Self.limit else { throw stream.failure("an element is too large") }
        bytes.append(byte)
      }
      if inString {
        if isEscaped {
          isEscaped = false
        } else if byte == UInt8(ascii: "\\") {
          isEscaped = true
        } else if byte == UInt8(ascii: "\"") {
          inString = false
        }
      } else {
        switch byte {
        case UInt8(ascii: "\""): inString = true
        case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
        case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
        default: break
        }
      }
      // A string or a bracketed value ends with its last byte; anything else where something follows.
      let closed =
        byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "}") || byte == UInt8(ascii: "]")
      if depth == 0, !inString, closed { break }
      guard depth >= 0 else { throw stream.failure("a value is expected") }
    }
    guard count > 0, depth == 0, !inString else { throw stream.failure("the file ends too early") }
    return Data(bytes)
  }

  private mutating func expect(_ mark: Unicode.Scalar) throws(EvaluationError) {
    guard try skipSpace() == UInt8(ascii: mark) else {
      throw stream.failure("\"\(mark)\" is expected")
    }
    _ = try stream.next()
  }

  /// The first byte that is no white space, not consumed.
  private mutating func skipSpace() throws(EvaluationError) -> UInt8 {
    while let byte = try stream.peek() {
      guard Self.isSpace(byte) else { return byte }
      _ = try stream.next()
    }
    throw stream.failure("the file ends too early")
  }

  private static func isSpace(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09
  }

  private static func decode<Value: Decodable>(
    _ type: Value.Type,
    _ json: Data,
    _ stream: ByteStream
  ) throws(EvaluationError) -> Value {
    try JSONRow.decode(type, json, path: stream.path, line: stream.line)
  }
}

/// Decoding of one row, with errors that name the place.
enum JSONRow {
  static func decode<Value: Decodable>(
    _ type: Value.Type,
    _ json: Data,
    path: String,
    line: Int
  ) throws(EvaluationError) -> Value {
    let decoder = JSONDecoder()
    decoder.nonConformingFloatDecodingStrategy = .convertFromString(
      positiveInfinity: "inf",
      negativeInfinity: "-inf",
      nan: "nan"
    )
    do {
      return try decoder.decode(type, from: json)
    } catch let error as DecodingError {
      throw .invalidData(path: path, line: line, reason: describe(error))
    } catch {
      throw .invalidData(path: path, line: line, reason: "it is not valid JSON")
    }
  }

  private static func describe(_ error: DecodingError) -> String {
    func name(_ context: DecodingError.Context, _ last: (any CodingKey)? = nil) -> String {
      let keys = (context.codingPath + [last].compactMap(\.self)).map(\.stringValue)
      return keys.isEmpty ? "the row" : "the field \(keys.joined(separator: "."))"
    }
    switch error {
    case .keyNotFound(let key, let context): return "\(name(context, key)) is missing"
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
      return "\(name(context)) has the wrong type"
    case .dataCorrupted(let context) where !context.codingPath.isEmpty:
      return "\(name(context)): \(context.debugDescription)"
    case .dataCorrupted: return "it is not valid JSON"
    @unknown default: return "it is not valid JSON"
    }
  }
}

/// An identifier that stands in JSON as a string or as a number.
struct FlexibleID: Decodable, Hashable {
  let text: String

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if let number = try? container.decode(Int.self) {
      text = String(number)
    } else {
      text = try container.decode(String.self)
    }
  }
}
