// The ways a tokenizer's files can be refused. Encoding and decoding never fail: every sequence of
// bytes has tokens and every sequence of ids has text. Each case names the culprit.

/// Why a tokenizer could not be made from its files.
public enum TokenizerError: Error, Hashable, Sendable {
  /// Neither `tokenizer.json` nor `tokenizer.model` was given.
  case missingVocabulary
  /// The file is larger than any tokenizer's.
  case fileTooLarge(file: String, bytes: Int, limit: Int)
  /// The file ends early or breaks the rules of its format, found at this byte.
  case malformed(file: String, offset: Int, reason: String)
  /// The file asks for a tokenizer of another kind.
  case unsupported(file: String, feature: String)
  /// The pieces cannot form a vocabulary.
  case invalidVocabulary(file: String, reason: String)
  /// A merge names pieces that cannot be merged.
  case invalidMerge(file: String, index: Int, reason: String)
  /// An added token disagrees with the vocabulary or with another one.
  case conflictingToken(token: String, id: Int)
  /// The text of a special or added token is longer than any tokenizer's.
  case addedTokenTooLong(bytes: Int, limit: Int)
  /// The texts of special and added tokens are longer, all together, than any tokenizer's.
  case tooManyAddedTokens(bytes: Int, limit: Int)
  /// A token that every prompt needs is not in the vocabulary.
  case missingSpecialToken(role: String, token: String)
}

extension TokenizerError: CustomStringConvertible {
  /// One sentence for the user.
  public var description: String {
    switch self {
    case .missingVocabulary:
      "The model has neither tokenizer.json nor tokenizer.model."
    case .fileTooLarge(let file, let bytes, let limit):
      "\(file) has \(bytes) bytes; at most \(limit) are accepted."
    case .malformed(let file, let offset, let reason):
      "\(file) is damaged at byte \(offset): \(reason)."
    case .unsupported(let file, let feature):
      "\(file) asks for \(feature), which IDEFICS tokenizers do not use."
    case .invalidVocabulary(let file, let reason):
      "The vocabulary of \(file) is not usable: \(reason)."
    case .invalidMerge(let file, let index, let reason):
      "Merge \(index) of \(file) is not usable: \(reason)."
    case .conflictingToken(let token, let id):
      "The added token \(token) cannot have the id \(id)."
    case .addedTokenTooLong(let bytes, let limit):
      "An added token has \(bytes) bytes of text; at most \(limit) are accepted."
    case .tooManyAddedTokens(let bytes, let limit):
      "The added tokens have \(bytes) bytes of text; at most \(limit) are accepted."
    case .missingSpecialToken(let role, let token):
      "The \(role) token \(token) is not in the vocabulary."
    }
  }
}
