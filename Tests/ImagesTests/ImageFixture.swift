// The pictures of Tests/Fixtures/codecs with what Pillow makes of each
// (Tools/reference/make_codec_fixtures.py).

import Foundation
import Images
import TestSupport
import Testing

/// One picture and its expected results.
struct ImageFixture: Sendable, CustomTestStringConvertible {
  /// A row of `expected.json`.
  struct Expectation: Decodable, Sendable {
    let width: Int
    let height: Int
    let rgb: String
    let resized: String
    let resized30: String
    let pixelValues: String
    let firstPixels: [UInt8]
  }

  let name: String
  let expected: Expectation

  var testDescription: String { name }

  var bytes: [UInt8] { get throws { try Fixture.bytes("codecs/\(name)") } }

  /// The format that the name says.
  var format: ImageFormat? {
    let extensions: [String: ImageFormat] = [
      "jpg": .jpeg, "png": .png, "webp": .webp, "gif": .gif,
    ]
    return name.split(separator: ".").last.flatMap { extensions[String($0)] }
  }

  /// Every picture, by name; none when `expected.json` cannot be read, which a test notices.
  static let all: [ImageFixture] = {
    guard let data = try? Data(contentsOf: Fixture.url("codecs/expected.json")),
      let rows = try? JSONDecoder().decode([String: Expectation].self, from: data)
    else { return [] }
    return rows.map { ImageFixture(name: $0, expected: $1) }.sorted { $0.name < $1.name }
  }()
}

/// The FNV-1a 64 hash of `bytes`, as 16 hexadecimal digits.
func fnv1a(_ bytes: some Sequence<UInt8>) -> String {
  let hash = bytes.reduce(0xcbf2_9ce4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
  let digits = String(hash, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}
