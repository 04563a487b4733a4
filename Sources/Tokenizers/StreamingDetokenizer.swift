// Turns tokens into text as they come. What it gives out is always whole characters: the bytes of
// one that is not complete wait, at most three. All that is given out, put together, is the decoded
// text of all tokens; decoding in one go is done here too.
//
// Source for ill-formed bytes: SentencePieceProcessor::Decode, one U+FFFD for each byte.

/// Decodes a stream of tokens.
public struct StreamingDetokenizer: Sendable {
  private static let replacement: [UInt8] = [0xef, 0xbf, 0xbd]

  private let vocabulary: Vocabulary
  private let skipSpecial: Bool
  /// Whether a space, should it come next, is the one that the encoder put in front.
  private var atFront: Bool
  /// The start of a character, well-formed as far as it goes.
  private var pending: [UInt8] = []
  private var output: [UInt8] = []

  /// Starts a text.
  ///
  /// - Parameters:
  ///   - vocabulary: the tokens.
  ///   - skipSpecial: whether special tokens are left out.
  ///   - continuesText: whether other text goes before. Then a leading space is kept.
  public init(_ vocabulary: Vocabulary, skipSpecial: Bool, continuesText: Bool = false) {
    self.vocabulary = vocabulary
    self.skipSpecial = skipSpecial
    atFront = !continuesText
  }

  /// Takes a token; returns the text that is certain now and was not before.
  public mutating func append(_ id: TokenID) -> String {
    take(id)
    return emit()
  }

  /// Takes tokens; returns the text that is certain now and was not before.
  public mutating func append(contentsOf ids: some Sequence<TokenID>) -> String {
    for id in ids { take(id) }
    return emit()
  }

  /// Ends the text; returns U+FFFD for every byte that still waits.
  public mutating func finish() -> String {
    giveUpPending()
    return emit()
  }

  private mutating func take(_ id: TokenID) {
    switch vocabulary.kind(of: id) {
    case .special where skipSpecial: return
    case .byte:
      for byte in vocabulary.text(of: id) { take(byte: byte) }
    case .special, .added, .text:
      let text = vocabulary.text(of: id)
      guard !text.isEmpty else { return }
      giveUpPending()
      put(text)
    }
  }

  private mutating func take(byte: UInt8) {
    if !pending.isEmpty, !continuesPending(byte) { giveUpPending() }
    let length = UTF8Sequence.length(lead: pending.first ?? byte)
    guard length > 0 else { return put(Self.replacement[...]) }
    pending.append(byte)
    guard pending.count == length else { return }
    put(pending[...])
    pending.removeAll(keepingCapacity: true)
  }

  private func continuesPending(_ byte: UInt8) -> Bool {
    pending.count == 1
      ? UTF8Sequence.accepts(second: byte, after: pending[0]) : UTF8Sequence.isContinuation(byte)
  }

  private mutating func giveUpPending() {
    for _ in pending { put(Self.replacement[...]) }
    pending.removeAll(keepingCapacity: true)
  }

  private mutating func put(_ text: ArraySlice<UInt8>) {
    let isFrontSpace = atFront && text.first == WordBoundary.space
    output.append(contentsOf: isFrontSpace ? text.dropFirst() : text)
    atFront = false
  }

  private mutating func emit() -> String {
    defer { output.removeAll(keepingCapacity: true) }
    return String(decoding: output, as: UTF8.self)
  }
}
