// JSON in and out: what a request body may look like before it is decoded, decoding with errors that name
// the field, and encoding with stable key order. Refuses nesting and sizes that would cost memory or stack.

import Foundation
import Hummingbird

/// Limits on the structure of a JSON text, checked before anything is allocated for it.
package struct JSONLimits: Sendable {
  /// Deepest nesting of arrays and objects.
  let depth: Int
  /// Most values and keys.
  let elements: Int

  package init(depth: Int, elements: Int) {
    self.depth = depth
    self.elements = elements
  }

  /// Counts brackets, commas and colons outside strings; linear time, no memory.
  package func check(_ bytes: Span<UInt8>) throws(ServerError) {
    var level = 0
    var count = 0
    var inString = false
    var escaped = false
    for index in bytes.indices {
      let byte = bytes[index]
      if inString {
        if escaped {
          escaped = false
        } else if byte == UInt8(ascii: "\\") {
          escaped = true
        } else if byte == UInt8(ascii: "\"") {
          inString = false
        }
        continue
      }
      switch byte {
      case UInt8(ascii: "\""): inString = true
      case UInt8(ascii: "["), UInt8(ascii: "{"):
        level += 1
        guard level <= depth else {
          throw .complexJSON("nested deeper than \(depth) levels")
        }
      case UInt8(ascii: "]"), UInt8(ascii: "}"): level -= 1
      case UInt8(ascii: ","), UInt8(ascii: ":"):
        count += 1
        guard count <= elements else { throw .complexJSON("more than \(elements) elements") }
      default: break
      }
    }
  }
}

extension JSONDecoder {
  /// Decodes a request body; the error names the field and never quotes the body.
  static func decodeRequest<Body: Decodable>(_ type: Body.Type, from data: Data) throws -> Body {
    do {
      return try JSONDecoder().decode(type, from: data)
    } catch let error as DecodingError {
      throw ServerError(decoding: error)
    }
  }
}

/// A number whose decoding error says where it stands.
///
/// Foundation throws an error of its own for a number that does not fit its type, without the path to it.
struct Located<Number: Decodable & Sendable>: Decodable, Sendable {
  let value: Number

  init(from decoder: any Decoder) throws {
    do {
      value = try decoder.singleValueContainer().decode(Number.self)
    } catch let error as DecodingError {
      throw error
    } catch {
      throw DecodingError.dataCorrupted(
        .init(codingPath: decoder.codingPath, debugDescription: "out of range")
      )
    }
  }
}

/// What the synthesised decoders of this module call for optional numbers.
extension KeyedDecodingContainer {
  func decodeIfPresent(_ type: Int.Type, forKey key: Key) throws -> Int? {
    try decodeIfPresent(Located<Int>.self, forKey: key)?.value
  }

  func decodeIfPresent(_ type: UInt64.Type, forKey key: Key) throws -> UInt64? {
    try decodeIfPresent(Located<UInt64>.self, forKey: key)?.value
  }

  func decodeIfPresent(_ type: Double.Type, forKey key: Key) throws -> Double? {
    try decodeIfPresent(Located<Double>.self, forKey: key)?.value
  }
}

extension ServerError {
  fileprivate init(decoding error: DecodingError) {
    switch error {
    case .typeMismatch(let type, let context):
      self = .shape(field: Self.path(context.codingPath), expected: Self.name(of: type))
    case .valueNotFound(let type, let context):
      self = .shape(field: Self.path(context.codingPath), expected: Self.name(of: type))
    case .keyNotFound(let key, let context):
      self = .shape(field: Self.path(context.codingPath + [key]), expected: "present")
    case .dataCorrupted(let context) where context.codingPath.isEmpty: self = .malformedJSON
    case .dataCorrupted(let context):
      self = .shape(field: Self.path(context.codingPath), expected: "a value in range")
    @unknown default: self = .malformedJSON
    }
  }

  /// `parameters.stop[1]`.
  private static func path(_ keys: [any CodingKey]) -> String {
    let text = keys.reduce(into: "") { text, key in
      if let index = key.intValue {
        text += "[\(index)]"
      } else {
        text += (text.isEmpty ? "" : ".") + key.stringValue
      }
    }
    return text.isEmpty ? "body" : String(text.prefix(200))
  }

  private static func name(of type: any Any.Type) -> String {
    switch type {
    case is String.Type: "a string"
    case is Bool.Type: "a boolean"
    case is Double.Type, is Float.Type: "a number"
    case is UInt64.Type: "a non-negative integer"
    case is any BinaryInteger.Type: "an integer"
    case is any JSONList.Type: "an array"
    default: "an object"
    }
  }
}

/// Marks arrays, so that an error can say that one was expected.
private protocol JSONList {}
extension Array: JSONList {}

extension JSONEncoder {
  /// Encodes with sorted keys, so that equal values are equal bytes.
  static func encodeReply(_ value: some Encodable) throws -> Data {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return try encoder.encode(value)
  }
}

extension Response {
  /// A JSON response.
  static func json(
    _ value: some Encodable,
    status: HTTPResponse.Status = .ok,
    headers: HTTPFields = [:]
  ) throws -> Response {
    var headers = headers
    headers[.contentType] = "application/json"
    let data = try JSONEncoder.encodeReply(value)
    return Response(
      status: status,
      headers: headers,
      body: ResponseBody(byteBuffer: ByteBuffer(bytes: data))
    )
  }
}

/// An optional that is written as `null`, for replies whose clients look for the key.
@propertyWrapper
struct Nullable<Value: Encodable & Sendable>: Encodable, Sendable {
  var wrappedValue: Value?

  init(wrappedValue: Value?) { self.wrappedValue = wrappedValue }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    if let wrappedValue {
      try container.encode(wrappedValue)
    } else {
      try container.encodeNil()
    }
  }
}

/// Any JSON value; used for schemas, which are handed on as text.
enum JSONValue: Codable, Sendable, Equatable {
  case null
  case bool(Bool)
  case number(Double)
  case string(String)
  case array([JSONValue])
  case object([String: JSONValue])

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      self = .null
    } else if let value = try? container.decode(Bool.self) {
      self = .bool(value)
    } else if let value = try? container.decode(Double.self) {
      self = .number(value)
    } else if let value = try? container.decode(String.self) {
      self = .string(value)
    } else if let value = try? container.decode([JSONValue].self) {
      self = .array(value)
    } else {
      self = .object(try container.decode([String: JSONValue].self))
    }
  }

  func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    switch self {
    case .null: try container.encodeNil()
    case .bool(let value): try container.encode(value)
    case .number(let value): try container.encode(value)
    case .string(let value): try container.encode(value)
    case .array(let value): try container.encode(value)
    case .object(let value): try container.encode(value)
    }
  }

  /// The value as JSON text with sorted keys.
  var text: String {
    get throws { String(decoding: try JSONEncoder.encodeReply(self), as: UTF8.self) }
  }
}
