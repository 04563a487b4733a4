// The 512-piece vocabulary that the tests share, as files and as a tokenizer.

import Foundation
import TestSupport
import Testing
import Tokenizers

/// The micro tokenizer.
enum TokenizerFixture {
  /// The two forms of the vocabulary.
  static let vocabularies = ["tokenizer.json", "tokenizer.model"]
  static let settings = ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"]

  /// The named files.
  static func files(_ names: [String]) throws -> [String: [UInt8]] {
    var files: [String: [UInt8]] = [:]
    for name in names { files[name] = try Fixture.bytes("tokenizer/micro/" + name) }
    return files
  }

  /// A tokenizer from one form of the vocabulary and all settings.
  static func tokenizer(_ vocabulary: String = "tokenizer.json") throws -> Tokenizer {
    try Tokenizer(files: files([vocabulary] + settings))
  }

  /// `tokenizer.json` after a change to its tree.
  static func json(_ change: (inout [String: Any]) throws -> Void) throws -> [UInt8] {
    let data = Data(try Fixture.bytes("tokenizer/micro/tokenizer.json"))
    var tree = try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
    try change(&tree)
    return [UInt8](try JSONSerialization.data(withJSONObject: tree))
  }

  /// The same with a change to its `model`.
  static func jsonWithModel(_ change: (inout [String: Any]) throws -> Void) throws -> [UInt8] {
    try json { tree in
      var model = tree["model"] as? [String: Any] ?? [:]
      try change(&model)
      tree["model"] = model
    }
  }
}

/// What the reference implementation makes of a text.
struct ReferenceEncoding: Decodable, Sendable, CustomTestStringConvertible {
  var text: String
  var ids: [TokenID]
  var tokens: [String]
  var decoded: String
  var decodedWithoutSpecial: String

  private enum CodingKeys: String, CodingKey {
    case text, ids, tokens, decoded
    case decodedWithoutSpecial = "decoded_skip_special"
  }

  var testDescription: String { text.debugDescription }

  /// All of them.
  static func all() throws -> [ReferenceEncoding] {
    let data = Data(try Fixture.bytes("tokenizer/cases.json"))
    return try JSONDecoder().decode([String: [ReferenceEncoding]].self, from: data)["micro"] ?? []
  }
}
