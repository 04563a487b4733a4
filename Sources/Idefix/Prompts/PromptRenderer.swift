// From a prompt to token ids and attended images, by the rules of the Hugging Face processor: spaces stripped at
// both ends of each text, consecutive images share a `<fake_token_around_image>`, `<end_of_utterance>` between
// adjacent texts of instruct models. Special tokens are inserted as ids, so text can never spell them unless the
// prompt allows it; `<image>` and unknown ids are refused in text and token prompts alike.

import Tokenizers

/// A prompt as the model takes it.
package struct RenderedPrompt: Sendable, Equatable {
  /// Token ids, `<s>` first.
  package var tokens: [Int32]
  /// For each token the image it attends to, -1 for none.
  package var attendedImages: [Int]
  /// Indices into the prompt's images that the tokens still refer to (truncation drops leading ones).
  package var images: Range<Int>

  /// The image that generated tokens attend to, -1 for none.
  package var answerImage: Int { attendedImages.last ?? -1 }
}

/// Renders prompts for one tokenizer.
package struct PromptRenderer: Sendable {
  /// A stretch of a prompt before tokenization.
  enum Segment: Equatable {
    case special(Int32)
    case text(String)
  }

  /// The tokenizer.
  package let tokenizer: Tokenizer

  /// A renderer.
  package init(tokenizer: Tokenizer) { self.tokenizer = tokenizer }

  /// Renders a prompt.
  ///
  /// - Parameters:
  ///   - prompt: The prompt.
  ///   - truncate: Keeps only the last n tokens, and only the images these refer to.
  /// - Returns: Token ids and attended images.
  /// - Throws: What is wrong with the prompt.
  package func render(
    _ prompt: Prompt,
    truncate: Int? = nil
  ) throws(EngineError) -> RenderedPrompt {
    var tokens =
      switch prompt.content {
      case .interleaved(let parts):
        try encode(interleaved(parts, prompt), parseSpecial: prompt.parsesSpecialTokens)
      case .chat(let messages):
        try encode(
          chat(messages, escapesRoles: prompt.escapesRoles),
          parseSpecial: prompt.parsesSpecialTokens
        )
      case .tokens(let tokens): try checked(tokens)
      }
    let total = prompt.images.count
    var images = 0..<total
    if let truncate, truncate < tokens.count {
      tokens.removeFirst(tokens.count - truncate)
      let left = tokens.count { $0 == tokenizer.specialTokens.image }
      images = (total - left)..<total
    }
    return RenderedPrompt(
      tokens: tokens,
      attendedImages: ImageAttention.attendedImages(
        of: tokens,
        imageToken: tokenizer.specialTokens.image,
        eosToken: tokenizer.specialTokens.eos,
        imageCount: images.count
      ),
      images: images
    )
  }

  /// The processor's walk over interleaved parts.
  private func interleaved(
    _ parts: [PromptPart],
    _ prompt: Prompt
  ) throws(EngineError) -> [Segment] {
    let special = tokenizer.specialTokens
    let inserts = prompt.insertsEndOfUtterance ?? special.listsEndOfUtterance
    var segments: [Segment] = [.special(special.bos)]
    var lastWasImage = false
    for (index, part) in parts.enumerated() {
      switch part {
      case .text(let text):
        if inserts, index > 0, !lastWasImage {
          guard let end = special.endOfUtterance else {
            throw .invalidPrompt(reason: "this model has no <end_of_utterance> to insert")
          }
          segments.append(.special(end))
        }
        segments.append(.text(Self.stripped(text)))
        lastWasImage = false
      case .image:
        segments += try imageSegments(afterImage: lastWasImage)
        lastWasImage = true
      }
    }
    if prompt.appendsEOS { segments.append(.special(special.eos)) }
    return segments
  }

  /// The tokens that stand for an image; consecutive images share the fake token between them.
  func imageSegments(afterImage: Bool) throws(EngineError) -> [Segment] {
    let special = tokenizer.specialTokens
    guard let image = special.image, let fake = special.fakeTokenAroundImage else {
      throw .invalidPrompt(reason: "this model's tokenizer has no <image>")
    }
    let triple: [Segment] = [.special(fake), .special(image), .special(fake)]
    return afterImage ? Array(triple.dropFirst()) : triple
  }

  /// Adjacent texts are one text: the tokenizer puts a space mark in front of each.
  private func encode(
    _ segments: [Segment],
    parseSpecial: Bool
  ) throws(EngineError) -> [Int32] {
    var tokens: [Int32] = []
    var text = ""
    func flush() throws(EngineError) {
      guard !text.isEmpty else { return }
      let ids = tokenizer.encode(text, parseSpecial: parseSpecial)
      if let image = tokenizer.specialTokens.image, ids.contains(image) {
        throw .invalidPrompt(reason: "its text holds <image>; give the image itself instead")
      }
      tokens += ids
      text = ""
    }
    for segment in segments {
      switch segment {
      case .text(let more): text += more
      case .special(let id):
        try flush()
        tokens.append(id)
      }
    }
    try flush()
    return tokens
  }

  private func checked(_ tokens: [Int32]) throws(EngineError) -> [Int32] {
    guard !tokens.isEmpty else { throw .invalidPrompt(reason: "it has no tokens") }
    for token in tokens {
      guard tokenizer.vocabulary.contains(token) else {
        throw .invalidPrompt(reason: "\(token) is no token id of this model")
      }
      guard token != tokenizer.specialTokens.image else {
        throw .invalidPrompt(reason: "<image> cannot be given as a token id")
      }
    }
    return tokens
  }

  /// Spaces, and only they, are stripped at both ends.
  static func stripped(_ text: String) -> String {
    let bytes = text.utf8
    let space = UInt8(ascii: " ")
    guard let first = bytes.firstIndex(where: { $0 != space }),
      let last = bytes.lastIndex(where: { $0 != space })
    else { return "" }
    return String(text[first...last])
  }
}
