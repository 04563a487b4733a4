// Which image a token attends to: exactly one, the last whose `<image>` is at or before it, or none. `</s>` closes
// the image context from the next token on, until the next image. Generated tokens repeat the last prompt token's
// image, whatever they are.

/// The image-attention rule of IDEFICS.
package enum ImageAttention {
  /// The attended image of each token; -1 for none.
  ///
  /// - Parameters:
  ///   - tokens: A whole prompt.
  ///   - imageToken: Id of `<image>`.
  ///   - eosToken: Id of `</s>`.
  ///   - imageCount: Images at hand; tokens that would attend to a later one attend to none.
  /// - Returns: As many indices as tokens.
  package static func attendedImages(
    of tokens: [Int32],
    imageToken: Int32?,
    eosToken: Int32,
    imageCount: Int
  ) -> [Int] {
    var count = -1
    var isClosed = false
    return tokens.map { token in
      if token == imageToken {
        count += 1
        isClosed = false
      }
      let image = isClosed || count >= imageCount ? -1 : count
      if token == eosToken { isClosed = true }
      return image
    }
  }
}
