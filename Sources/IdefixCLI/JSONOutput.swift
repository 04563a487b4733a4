// Machine-readable results on stdout: snake_case keys, sorted, one document.

import Foundation

/// Writes JSON documents to stdout.
enum JSONOutput {
  /// Writes one document and a newline.
  static func write(_ value: some Encodable) throws {
    let encoder = JSONEncoder()
    encoder.keyEncodingStrategy = .convertToSnakeCase
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf",
      negativeInfinity: "-inf",
      nan: "nan"
    )
    Terminal.write(String(decoding: try encoder.encode(value), as: UTF8.self) + "\n")
  }
}
