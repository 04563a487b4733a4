// Tokens that were added to a vocabulary after its training. They are matched verbatim in the raw
// text, so a token that asks to swallow the spaces around it, or to stand alone as a word, is
// refused. (`normalized` is not looked at: files of the same model disagree about it.)

import JSONText

/// A token added to the vocabulary.
struct AddedToken: Hashable {
  /// The text that becomes the token.
  var content: String
  /// Its id, where the file gives one.
  var id: Int?
  /// Whether it is left out of decoded text on request.
  var isSpecial: Bool

  /// A token given by its parts.
  init(_ content: String, id: Int?, isSpecial: Bool) {
    self.content = content
    self.id = id
    self.isSpecial = isSpecial
  }

  /// Reads `{"content": …, "id": …, "special": …}` or, for a special token, just its text.
  init(_ value: JSONValue, file: String, id: Int? = nil) throws(TokenizerError) {
    guard let content = value.string ?? value["content"]?.string, !content.isEmpty else {
      throw .invalidVocabulary(file: file, reason: "an added token has no text")
    }
    for option in ["lstrip", "rstrip", "single_word"] where value[option]?.bool ?? false {
      throw .unsupported(file: file, feature: "\(option) for \(content)")
    }
    var number = id
    if case .integer(let given)? = value["id"] { number = given }
    self.init(
      content,
      id: number,
      isSpecial: value.string != nil || value["special"]?.bool ?? false
    )
  }
}
