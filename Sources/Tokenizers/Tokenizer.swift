// The room's front: made from the files of a model, encodes text and decodes ids. What IDEFICS
// does: split at special tokens, put a space mark in front of every segment ("legacy"), merge.
// Refuses nothing at run time: any bytes have tokens, any ids have text.

/// Text to tokens and back.
public struct Tokenizer: Sendable {
  /// The files a tokenizer can be made from, for whoever stores them.
  public static let fileNames =
    [jsonFile, sentencePieceFile] + TokenizerSettings.File.allCases.map(\.rawValue)

  /// Larger vocabulary files are refused; the published ones have 0.5 MB and 1.8 MB.
  public static let largestFile = 8 << 20

  private static let jsonFile = "tokenizer.json"
  private static let sentencePieceFile = "tokenizer.model"

  /// The tokens with a role.
  public let specialTokens: SpecialTokens
  private let model: BytePairModel
  private let matcher: SpecialTokenMatcher

  /// Every token.
  public var vocabulary: Vocabulary { model.vocabulary }

  /// Makes a tokenizer.
  ///
  /// - Parameter files: contents by name. `tokenizer.json` or `tokenizer.model` is needed; where
  ///   both are there, the first is used unless its pipeline is one that IDEFICS does not use.
  ///   `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` name the special
  ///   tokens. Other names are ignored.
  /// - Throws: the first thing that is wrong with a file.
  public init(files: [String: [UInt8]]) throws(TokenizerError) {
    let settings = try TokenizerSettings(files: files)
    var (model, added) = try Self.readModel(files)
    let listed =
      (settings.additional ?? []) + settings.names.sorted { $0.key < $1.key }.map(\.value)
    added += settings.addedTokens
    added += listed.map { AddedToken($0, id: nil, isSpecial: true) }
    try model.add(added)

    let vocabulary = model.vocabulary
    let ids = 0..<TokenID(vocabulary.count)
    let special = ids.filter { vocabulary.kind(of: $0) == .special }.map(vocabulary.piece)
    specialTokens = try SpecialTokens(
      in: vocabulary,
      names: settings.names,
      additional: settings.additional,
      special: special
    )
    self.model = model
    matcher = try SpecialTokenMatcher(vocabulary)
  }

  /// Turns a text into tokens.
  ///
  /// No `<s>` is put in front.
  ///
  /// - Parameters:
  ///   - text: what to encode.
  ///   - parseSpecial: whether `<s>`, `<image>` and the other added tokens are recognised where the
  ///     text spells them. Say false for text from outside: there they are plain characters.
  /// - Returns: the tokens.
  /// - Complexity: O(n) for text, O(n log n) where many characters have no place to cut.
  public func encode(_ text: String, parseSpecial: Bool) -> [TokenID] {
    encode(Array(text.utf8), parseSpecial: parseSpecial)
  }

  /// Turns a text given as UTF-8 into tokens.
  ///
  /// Bytes that are not well-formed become byte tokens, from
  /// which decoding into bytes would give them back.
  public func encode(_ text: [UInt8], parseSpecial: Bool) -> [TokenID] {
    var encoder = BytePairEncoder(model)
    var start = 0
    while parseSpecial, let match = matcher.firstMatch(in: text, from: start) {
      encoder.encode(text, start..<match.range.lowerBound)
      encoder.append(match.token)
      start = match.range.upperBound
    }
    encoder.encode(text, start..<text.count)
    return encoder.tokens
  }

  /// Turns tokens into text, without the space that the encoder put in front.
  ///
  /// Ids that are not in the vocabulary add nothing. Bytes that form no character become U+FFFD,
  /// one each.
  ///
  /// - Parameters:
  ///   - ids: the tokens.
  ///   - skipSpecial: whether special tokens are left out.
  /// - Returns: the text.
  public func decode(_ ids: some Sequence<TokenID>, skipSpecial: Bool) -> String {
    var detokenizer = StreamingDetokenizer(vocabulary, skipSpecial: skipSpecial)
    return detokenizer.append(contentsOf: ids) + detokenizer.finish()
  }

  /// Whether the token has a meaning of its own and is no text.
  public func isSpecial(_ id: TokenID) -> Bool { vocabulary.kind(of: id) == .special }

  private static func readModel(
    _ files: [String: [UInt8]]
  ) throws(TokenizerError) -> (model: BytePairModel, added: [AddedToken]) {
    for name in [jsonFile, sentencePieceFile] {
      guard let bytes = files[name], bytes.count > largestFile else { continue }
      throw .fileTooLarge(file: name, bytes: bytes.count, limit: largestFile)
    }
    let sentencePiece = files[sentencePieceFile]
    if let bytes = files[jsonFile] {
      do throws(TokenizerError) {
        let file = try TokenizerJSONFile(bytes, file: jsonFile)
        return (file.model, file.addedTokens)
      } catch .unsupported where sentencePiece != nil {
        // A copy saved again in another form; the vocabulary beside it says the same.
      }
    }
    guard let bytes = sentencePiece else { throw .missingVocabulary }
    return (try SentencePieceFile.model(bytes, file: sentencePieceFile), [])
  }
}
