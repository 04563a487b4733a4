// Reads tokenizer.json: a byte-pair vocabulary, its merges in order, and added tokens. Refuses any
// pipeline other than LLaMA's first one: mark the front and every space of a segment with U+2581,
// no pre-tokeniser, no dropout, no affixes.

import JSONText

/// The reader of `tokenizer.json`.
struct TokenizerJSONFile {
  /// The encoding.
  let model: BytePairModel
  /// Tokens matched before the encoding, with the ids the file gives them.
  let addedTokens: [AddedToken]

  /// Reads the file in `bytes`; `file` is named in errors.
  init(_ bytes: [UInt8], file: String) throws(TokenizerError) {
    var contents = Contents(file: file)
    do throws(JSONError) {
      try contents.read(bytes)
    } catch {
      throw .malformed(file: file, offset: error.offset, reason: error.reason)
    }
    try contents.checkPipeline()
    addedTokens = try contents.makeAddedTokens()
    model = try contents.makeModel(addedTokens)
  }
}

/// What the file holds, before it is checked against itself.
private struct Contents {
  let file: String
  private var addedTokens: [JSONValue] = []
  private var normalizer: JSONValue?
  private var preTokenizer: JSONValue?
  private var settings: [String: JSONValue] = [:]
  private var hasScores = false
  private var pieces: [UInt8] = []
  private var pieceRanges: [Int: Range<Int>] = [:]
  private var mergeBytes: [UInt8] = []
  /// Where each merge starts and where its second half does, in `mergeBytes`.
  private var merges: [(start: Int, middle: Int)] = []

  init(file: String) { self.file = file }

  mutating func read(_ bytes: [UInt8]) throws(JSONError) {
    var scanner = JSONScanner(bytes)
    try scanner.object { (scanner, key) throws(JSONError) in
      switch key {
      case "added_tokens": addedTokens = try JSONValue(&scanner).array ?? []
      case "normalizer": normalizer = try JSONValue(&scanner)
      case "pre_tokenizer": preTokenizer = try JSONValue(&scanner)
      case "model": try readModel(&scanner)
      default: try scanner.skip()
      }
    }
    try scanner.end()
  }

  private mutating func readModel(_ scanner: inout JSONScanner) throws(JSONError) {
    try scanner.object { (scanner, key) throws(JSONError) in
      switch key {
      case "vocab": try readVocabulary(&scanner)
      case "merges":
        try scanner.array { (scanner) throws(JSONError) in try readMerge(&scanner) }
      default: settings[key] = try JSONValue(&scanner)
      }
    }
  }

  private mutating func readVocabulary(_ scanner: inout JSONScanner) throws(JSONError) {
    hasScores = try scanner.kind() == .array
    guard !hasScores else { return try scanner.skip() }
    try scanner.members { (scanner, key) throws(JSONError) in
      let id = try scanner.count()
      guard id < Vocabulary.largestCount else {
        throw scanner.error("a token id must be in 0..<\(Vocabulary.largestCount)")
      }
      let start = pieces.count
      pieces.append(contentsOf: key)
      guard pieceRanges.updateValue(start..<pieces.count, forKey: id) == nil else {
        throw scanner.error("id \(id) is given twice")
      }
    }
  }

  /// A merge is written `"left right"` or `["left", "right"]`.
  private mutating func readMerge(_ scanner: inout JSONScanner) throws(JSONError) {
    let start = mergeBytes.count
    var middle: Int?
    if try scanner.kind() == .array {
      var count = 0
      try scanner.array { (scanner) throws(JSONError) in
        if count == 1 { middle = mergeBytes.count }
        try scanner.string(into: &mergeBytes)
        count += 1
      }
      guard count == 2 else { throw scanner.error("a merge has two sides") }
    } else {
      try scanner.string(into: &mergeBytes)
      middle = mergeBytes[start...].firstIndex(of: WordBoundary.space)
      if let middle { mergeBytes.remove(at: middle) }
    }
    guard let middle else { throw scanner.error("a merge has two sides") }
    merges.append((start, middle))
  }

  /// Holds the file to the pipeline this room implements.
  func checkPipeline() throws(TokenizerError) {
    guard !hasScores else { throw unsupported("a scored vocabulary") }
    let steps = normalizer?["type"] == .string("Sequence") ? normalizer?["normalizers"] : nil
    let expected: [JSONValue] = [
      .object(["type": .string("Prepend"), "prepend": .string("▁")]),
      .object([
        "type": .string("Replace"), "pattern": .object(["String": .string(" ")]),
        "content": .string("▁"),
      ]),
    ]
    guard steps?.array == expected else { throw unsupported("another normalizer") }
    guard Self.isUnset(preTokenizer) else { throw unsupported("a pre-tokenizer") }
    guard (settings["type"] ?? .string("BPE")) == .string("BPE") else {
      throw unsupported("a model that is not BPE")
    }
    let unsupportedSettings = [
      "continuing_subword_prefix", "end_of_word_suffix", "ignore_merges", "dropout",
    ]
    for name in unsupportedSettings
    where !Self.isUnset(settings[name]) && settings[name] != .integer(0) {
      throw unsupported(name)
    }
  }

  func makeAddedTokens() throws(TokenizerError) -> [AddedToken] {
    var tokens: [AddedToken] = []
    for value in addedTokens { tokens.append(try AddedToken(value, file: file)) }
    return tokens
  }

  func makeModel(_ addedTokens: [AddedToken]) throws(TokenizerError) -> BytePairModel {
    let usesBytes = settings["byte_fallback"]?.bool ?? false
    let special = Set(addedTokens.filter(\.isSpecial).map { Array($0.content.utf8) })
    var vocabulary = Vocabulary()
    for id in 0..<pieceRanges.count {
      guard let range = pieceRanges[id], !range.isEmpty else {
        throw .invalidVocabulary(file: file, reason: "there is no piece \(id)")
      }
      let piece = pieces[range]
      var kind = Vocabulary.Kind.text
      if usesBytes, Vocabulary.byte(spelledBy: piece) != nil { kind = .byte }
      if special.contains(Array(piece)) { kind = .special }
      guard vocabulary.append(piece, kind: kind) != nil else {
        throw .invalidVocabulary(file: file, reason: "piece \(id) occurs twice")
      }
    }
    let name = settings["unk_token"]?.string ?? "<unk>"
    guard let unknown = vocabulary.id(ofPiece: name) else {
      throw .missingSpecialToken(role: "unknown", token: name)
    }
    vocabulary.change(unknown, to: .special)
    var model = try BytePairModel(
      vocabulary,
      unknown: unknown,
      usesBytes: usesBytes,
      fusesUnknown: settings["fuse_unk"]?.bool ?? false,
      file: file
    )
    for (index, merge) in merges.enumerated() {
      let end = index + 1 < merges.count ? merges[index + 1].start : mergeBytes.count
      try model.addMerge(
        of: mergeBytes,
        merge.start,
        merge.middle,
        end,
        rank: UInt32(index),
        index: index
      )
    }
    return model
  }

  /// Whether a setting is absent, `null`, `false` or an empty string.
  private static func isUnset(_ setting: JSONValue?) -> Bool {
    guard let setting else { return true }
    return [.null, .bool(false), .string("")].contains(setting)
  }

  private func unsupported(_ feature: String) -> TokenizerError {
    .unsupported(file: file, feature: feature)
  }
}
