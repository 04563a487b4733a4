// The tokens with a meaning of their own, by role. The three of IDEFICS are optional here, so that
// a plain LLaMA vocabulary can be read too; the model decides whether it can do without them.

/// Ids of the special tokens.
public struct SpecialTokens: Sendable, Hashable {
  /// Starts every prompt, `<s>`.
  public let bos: TokenID
  /// Ends the text, `</s>`.
  public let eos: TokenID
  /// Stands for what cannot be spelt, `<unk>`.
  public let unk: TokenID
  /// Fills batches; `<unk>` where the files name none.
  public let pad: TokenID
  /// Stands for a picture, `<image>`.
  public let image: TokenID?
  /// Stands on both sides of a picture, `<fake_token_around_image>`.
  public let fakeTokenAroundImage: TokenID?
  /// Ends a turn of the instruct models, `<end_of_utterance>`.
  public let endOfUtterance: TokenID?
  /// The texts that the files list as additional special tokens.
  public let additional: [String]

  /// Whether the additional special tokens include `<end_of_utterance>`.
  ///
  /// If so, a prompt puts it between neighbouring texts unless told otherwise.
  public var listsEndOfUtterance: Bool { additional.contains(Self.endOfUtteranceText) }

  /// The text of `image`.
  public static let imageText = "<image>"
  /// The text of `fakeTokenAroundImage`.
  public static let fakeTokenAroundImageText = "<fake_token_around_image>"
  /// The text of `endOfUtterance`.
  public static let endOfUtteranceText = "<end_of_utterance>"

  /// Looks the tokens up.
  ///
  /// - Parameters:
  ///   - vocabulary: where to look.
  ///   - names: texts of `bos_token`, `eos_token`, `unk_token` and `pad_token`, as far as named.
  ///   - additional: the list of additional special tokens, where a file has one.
  ///   - special: the texts of all special tokens. Those without a role stand in for the list.
  /// - Throws: `missingSpecialToken`.
  init(
    in vocabulary: Vocabulary,
    names: [String: String],
    additional: [String]?,
    special: [String]
  ) throws(TokenizerError) {
    func find(_ role: String, _ usual: String) throws(TokenizerError) -> TokenID {
      let text = names[role] ?? usual
      guard let id = vocabulary.id(ofPiece: text) else {
        throw .missingSpecialToken(role: role, token: text)
      }
      return id
    }
    bos = try find("bos_token", "<s>")
    eos = try find("eos_token", "</s>")
    unk = try find("unk_token", "<unk>")
    pad = try find("pad_token", vocabulary.piece(of: unk))
    image = vocabulary.id(ofPiece: Self.imageText)
    fakeTokenAroundImage = vocabulary.id(ofPiece: Self.fakeTokenAroundImageText)
    endOfUtterance = vocabulary.id(ofPiece: Self.endOfUtteranceText)
    let roles = [bos, eos, unk, pad].map(vocabulary.piece)
    self.additional = additional ?? special.filter { !roles.contains($0) }
  }
}
