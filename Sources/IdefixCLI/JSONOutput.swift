// Machine-readable results on stdout: snake_case keys, sorted, one document.

import Foundation

/// Writes JSON documents to stdout.
enum JSONOutput {
  /// Writes one document and a newline.
  static func write(_ value: some Encodable) throws {
    Terminal.write(String(decoding: try document(value), as: UTF8.self))
  }

  /// One document and a newline.
  static func document(_ value: some Encodable) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf",
      negativeInfinity: "-inf",
      nan: "nan"
    )
    return Array(try encoder.encode(value)) + [UInt8(ascii: "\n")]
  }
}
