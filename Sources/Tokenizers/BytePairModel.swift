// The byte-pair encoding that both file formats describe: pieces, merges in order, and what to do
// with a character that no piece spells. Refuses merges that touch anything but text.

/// A vocabulary with the order of its merges.
struct BytePairModel: Sendable {
  /// Pieces of text with more bytes than this are refused.
  ///
  /// The longest of LLaMA's has 48 bytes.
  static let longestPiece = 256

  /// The tokens of the file, before any are added.
  var vocabulary: Vocabulary
  /// The merges.
  private(set) var merges = MergeTable()
  /// The tokens of single characters.
  private(set) var characters = CharacterTable()
  /// `[256]`: the token of each byte, or empty when unknown characters become `<unk>`.
  private(set) var byteTokens: [TokenID] = []
  /// The token for what cannot be spelt.
  let unknown: TokenID
  /// Whether neighbouring unknown characters become one token.
  let fusesUnknown: Bool

  private let file: String

  /// Takes the pieces of a file; merges follow by `add`.
  init(
    _ vocabulary: Vocabulary,
    unknown: TokenID,
    usesBytes: Bool,
    fusesUnknown: Bool,
    file: String
  ) throws(TokenizerError) {
    self.vocabulary = vocabulary
    self.unknown = unknown
    self.fusesUnknown = fusesUnknown
    self.file = file
    try indexCharacters()
    if usesBytes { try indexBytes() }
  }

  /// Adds the merge of `bytes[start..<middle]` with `bytes[middle..<end]`.
  mutating func addMerge(
    of bytes: [UInt8],
    _ start: Int,
    _ middle: Int,
    _ end: Int,
    rank: UInt32,
    index: Int
  ) throws(TokenizerError) {
    guard start < middle, middle < end else { throw invalid(index, "a side is empty") }
    guard let left = vocabulary.id(ofPieceIn: bytes, at: start..<middle),
      let right = vocabulary.id(ofPieceIn: bytes, at: middle..<end),
      let token = vocabulary.id(ofPieceIn: bytes, at: start..<end)
    else { throw invalid(index, "a piece is not in the vocabulary") }
    let isText = [left, right, token].allSatisfy { vocabulary.kind(of: $0) == .text }
    guard isText else { throw invalid(index, "a piece is not text") }
    // Pieces are well-formed UTF-8, so the last scalar starts at the last non-continuation byte.
    var last = middle - 1
    while last > start, UTF8Sequence.isContinuation(bytes[last]) { last -= 1 }
    guard let before = UTF8Sequence.scalar(in: bytes, at: last, end: middle),
      let after = UTF8Sequence.scalar(in: bytes, at: middle, end: end)
    else { throw invalid(index, "a piece is not UTF-8") }
    let merge = MergeTable.Merge(rank: rank, token: token)
    guard merges.insert(left, right, merge: merge, joining: before.value, after.value) else {
      throw invalid(index, "the pair has a merge already")
    }
  }

  /// Adds tokens to the vocabulary.
  ///
  /// Ids that are given must agree with it and leave no holes; the other tokens follow in order.
  mutating func add(_ tokens: [AddedToken]) throws(TokenizerError) {
    // Keyed by bytes: strings with different bytes can be equal.
    var merged: [[UInt8]: AddedToken] = [:]
    var order: [[UInt8]] = []
    for token in tokens {
      let key = Array(token.content.utf8)
      guard var known = merged[key] else {
        merged[key] = token
        order.append(key)
        continue
      }
      if let id = token.id, let other = known.id, id != other {
        throw .conflictingToken(token: token.content, id: id)
      }
      known.id = known.id ?? token.id
      known.isSpecial = known.isSpecial || token.isSpecial
      merged[key] = known
    }
    let unique = order.compactMap { merged[$0] }
    for token in unique.sorted(by: { ($0.id ?? .max) < ($1.id ?? .max) }) { try add(token) }
  }

  private mutating func add(_ token: AddedToken) throws(TokenizerError) {
    let kind: Vocabulary.Kind = token.isSpecial ? .special : .added
    if let known = vocabulary.id(ofPiece: token.content) {
      guard token.id ?? Int(known) == Int(known) else {
        throw .conflictingToken(token: token.content, id: token.id ?? -1)
      }
      if vocabulary.kind(of: known) != .special { vocabulary.change(known, to: kind) }
      return
    }
    let next = vocabulary.count
    guard next < Vocabulary.largestCount, token.id ?? next == next,
      vocabulary.append(Array(token.content.utf8)[...], kind: kind) != nil
    else { throw .conflictingToken(token: token.content, id: token.id ?? next) }
  }

  private mutating func indexCharacters() throws(TokenizerError) {
    for id in 0..<TokenID(vocabulary.count) where vocabulary.kind(of: id) == .text {
      let range = vocabulary.pieceRange(of: id)
      guard range.count <= Self.longestPiece else {
        throw .invalidVocabulary(file: file, reason: "piece \(id) has \(range.count) bytes")
      }
      guard let scalars = UTF8Sequence.scalars(in: vocabulary.pieceBytes, range: range) else {
        throw .invalidVocabulary(file: file, reason: "piece \(id) is not UTF-8")
      }
      if scalars.count == 1 { characters.set(scalars[0], to: id) }
    }
  }

  private mutating func indexBytes() throws(TokenizerError) {
    byteTokens = Array(repeating: -1, count: 256)
    for id in 0..<TokenID(vocabulary.count) where vocabulary.kind(of: id) == .byte {
      guard let byte = vocabulary.text(of: id).first else { continue }
      byteTokens[Int(byte)] = id
    }
    guard let missing = byteTokens.firstIndex(of: -1) else { return }
    throw .invalidVocabulary(file: file, reason: "byte \(missing) has no token")
  }

  private func invalid(_ index: Int, _ reason: String) -> TokenizerError {
    .invalidMerge(file: file, index: index, reason: reason)
  }
}
