// The three small files beside a vocabulary: tokenizer_config.json, special_tokens_map.json and
// added_tokens.json. All are optional. They name the special tokens and give ids to added ones.

import JSONText

/// What the settings files say, merged.
struct TokenizerSettings {
  /// The names of the files.
  enum File: String, CaseIterable {
    case configuration = "tokenizer_config.json"
    case specialTokens = "special_tokens_map.json"
    case addedTokens = "added_tokens.json"
  }

  /// Larger settings files are refused; the published ones have 1 kB.
  static let largestFile = 1 << 22

  /// The text of `bos_token`, `eos_token`, `unk_token` and `pad_token`, where one is named.
  private(set) var names: [String: String] = [:]
  /// `additional_special_tokens`, without repetition, in order; `nil` when no file lists them.
  private(set) var additional: [String]?
  /// Tokens with ids.
  private(set) var addedTokens: [AddedToken] = []

  /// Reads what there is of the three files.
  ///
  /// `special_tokens_map.json` wins over the configuration.
  init(files: [String: [UInt8]]) throws(TokenizerError) {
    for file in [File.specialTokens, .configuration] {
      let settings = try Self.read(file, in: files)
      for role in ["bos_token", "eos_token", "unk_token", "pad_token"] {
        guard names[role] == nil, let value = settings[role], value != .null else { continue }
        names[role] = try AddedToken(value, file: file.rawValue).content
      }
      for key in ["additional_special_tokens", "extra_special_tokens"] {
        guard case .array(let values)? = settings[key] else { continue }
        var names = additional ?? []
        var known = Set(names)
        for value in values {
          let name = try AddedToken(value, file: file.rawValue).content
          if known.insert(name).inserted { names.append(name) }
        }
        additional = names
      }
      try readDecoder(settings, file: file)
    }
    try readAddedTokens(Self.read(.addedTokens, in: files))
  }

  /// Reads tokens by id.
  ///
  /// `"added_tokens_decoder": {"32000": {"content": …, "special": true, …}, …}`
  private mutating func readDecoder(_ settings: JSONValue, file: File) throws(TokenizerError) {
    guard case .object(let members)? = settings["added_tokens_decoder"] else { return }
    for (key, value) in members {
      guard let id = Int(key) else {
        throw .invalidVocabulary(file: file.rawValue, reason: "\(key) is not a token id")
      }
      addedTokens.append(try AddedToken(value, file: file.rawValue, id: id))
    }
  }

  /// Reads ids by token.
  ///
  /// `{"<image>": 32001, …}`
  private mutating func readAddedTokens(_ tokens: JSONValue) throws(TokenizerError) {
    guard case .object(let members) = tokens else { return }
    for (content, value) in members {
      guard case .integer(let id) = value, !content.isEmpty else {
        throw .invalidVocabulary(
          file: File.addedTokens.rawValue,
          reason: "\(content) has no token id"
        )
      }
      addedTokens.append(AddedToken(content, id: id, isSpecial: false))
    }
  }

  private static func read(
    _ file: File,
    in files: [String: [UInt8]]
  ) throws(TokenizerError) -> JSONValue {
    guard let bytes = files[file.rawValue] else { return .object([:]) }
    guard bytes.count <= largestFile else {
      throw .fileTooLarge(file: file.rawValue, bytes: bytes.count, limit: largestFile)
    }
    do throws(JSONError) {
      return try JSONValue(parsing: bytes)
    } catch {
      throw .malformed(file: file.rawValue, offset: error.offset, reason: error.reason)
    }
  }
}
