// Reads tokenizer.model: a SentencePiece ModelProto with a BPE vocabulary. Refuses other model
// types, text normalisation beyond the leading space mark, and user-defined or unused pieces.
// Source: google/sentencepiece, src/sentencepiece_model.proto (field numbers) and bpe_model.cc
// (the pair whose merged piece scores best goes first, the leftmost of equals).

/// The reader of `tokenizer.model`.
struct SentencePieceFile {
  private struct Piece {
    var text = 0..<0
    var score: Float = 0
    var type: UInt64 = 1
  }

  private let bytes: [UInt8]
  private let file: String
  private var pieces: [Piece] = []
  private var usesBytes = false

  /// Reads the model in `bytes`; `file` is named in errors.
  static func model(_ bytes: [UInt8], file: String) throws(TokenizerError) -> BytePairModel {
    var reader = SentencePieceFile(bytes: bytes, file: file)
    try reader.readModel()
    return try reader.makeModel()
  }

  private init(bytes: [UInt8], file: String) {
    self.bytes = bytes
    self.file = file
  }

  private mutating func readModel() throws(TokenizerError) {
    var message = ProtobufReader(bytes, file: file)
    var modelType: UInt64 = 1
    var removesExtraSpaces = true
    while let (number, type) = try message.nextField() {
      guard (1...3).contains(number) else {
        try message.skip(type)
        continue
      }
      try message.require(type, .delimited, field: "ModelProto.\(number)")
      let range = try message.delimited()
      switch number {
      case 1: try readPiece(range)
      case 2: modelType = try readTrainer(range) ?? modelType
      default: removesExtraSpaces = try readNormalizer(range) ?? removesExtraSpaces
      }
    }
    guard modelType == 2 else { throw unsupported("model type \(modelType), not BPE,") }
    guard !removesExtraSpaces else { throw unsupported("removal of extra spaces") }
  }

  private mutating func readPiece(_ range: Range<Int>) throws(TokenizerError) {
    guard pieces.count < Vocabulary.largestCount else {
      throw .invalidVocabulary(file: file, reason: "more than \(Vocabulary.largestCount) pieces")
    }
    var message = ProtobufReader(bytes, range: range, file: file)
    var piece = Piece()
    while let (number, type) = try message.nextField() {
      switch number {
      case 1:
        try message.require(type, .delimited, field: "piece")
        piece.text = try message.delimited()
      case 2:
        try message.require(type, .fixed32, field: "score")
        piece.score = try message.float()
      case 3:
        try message.require(type, .varint, field: "type")
        piece.type = try message.varint()
      default: try message.skip(type)
      }
    }
    pieces.append(piece)
  }

  /// The model type, where the trainer's settings say it.
  private mutating func readTrainer(_ range: Range<Int>) throws(TokenizerError) -> UInt64? {
    var modelType: UInt64?
    var message = ProtobufReader(bytes, range: range, file: file)
    while let (number, type) = try message.nextField() {
      switch number {
      case 3:
        try message.require(type, .varint, field: "model_type")
        modelType = try message.varint()
      case 24:
        try message.require(type, .varint, field: "treat_whitespace_as_suffix")
        guard try message.varint() == 0 else { throw unsupported("spaces as suffixes") }
      case 35:
        try message.require(type, .varint, field: "byte_fallback")
        usesBytes = try message.varint() != 0
      default: try message.skip(type)
      }
    }
    return modelType
  }

  /// Whether runs of spaces are shortened, where the normaliser's settings say it.
  private func readNormalizer(_ range: Range<Int>) throws(TokenizerError) -> Bool? {
    var removesExtraSpaces: Bool?
    var message = ProtobufReader(bytes, range: range, file: file)
    while let (number, type) = try message.nextField() {
      switch number {
      case 2:
        try message.require(type, .delimited, field: "precompiled_charsmap")
        guard try message.delimited().isEmpty else { throw unsupported("character replacement") }
      case 3:
        try message.require(type, .varint, field: "add_dummy_prefix")
        guard try message.varint() != 0 else { throw unsupported("text without a leading space") }
      case 4:
        try message.require(type, .varint, field: "remove_extra_whitespaces")
        removesExtraSpaces = try message.varint() != 0
      case 5:
        try message.require(type, .varint, field: "escape_whitespaces")
        guard try message.varint() != 0 else { throw unsupported("unmarked spaces") }
      default: try message.skip(type)
      }
    }
    return removesExtraSpaces
  }

  private func makeModel() throws(TokenizerError) -> BytePairModel {
    var vocabulary = Vocabulary()
    var unknown: TokenID?
    for (index, piece) in pieces.enumerated() {
      let text = bytes[piece.text]
      guard !text.isEmpty, piece.score.isFinite else {
        throw .invalidVocabulary(file: file, reason: "piece \(index) has no text or no score")
      }
      guard let id = vocabulary.append(text, kind: try kind(of: piece, index: index)) else {
        throw .invalidVocabulary(file: file, reason: "piece \(index) occurs twice")
      }
      if piece.type == 2 { unknown = id }
    }
    guard let unknown else {
      throw .invalidVocabulary(file: file, reason: "there is no unknown piece")
    }
    var model = try BytePairModel(
      vocabulary,
      unknown: unknown,
      usesBytes: usesBytes,
      fusesUnknown: true,
      file: file
    )
    try addMerges(to: &model)
    return model
  }

  private func kind(of piece: Piece, index: Int) throws(TokenizerError) -> Vocabulary.Kind {
    switch piece.type {
    case 1: return .text
    case 2, 3: return .special
    case 6:
      guard Vocabulary.byte(spelledBy: bytes[piece.text]) != nil else {
        throw .invalidVocabulary(file: file, reason: "piece \(index) does not spell a byte")
      }
      return .byte
    default: throw unsupported("pieces of type \(piece.type)")
    }
  }

  /// Every way to cut a piece into two pieces is a merge; pieces of equal score share a rank.
  private func addMerges(to model: inout BytePairModel) throws(TokenizerError) {
    let order = pieces.indices.filter { pieces[$0].type == 1 }
      .sorted { (-pieces[$0].score, $0) < (-pieces[$1].score, $1) }
    var rank: UInt32 = 0
    var previous: Float?
    for index in order {
      let range = pieces[index].text
      if let previous, previous != pieces[index].score { rank += 1 }
      previous = pieces[index].score
      for middle in range.dropFirst() where !UTF8Sequence.isContinuation(bytes[middle]) {
        guard let left = model.vocabulary.id(ofPieceIn: bytes, at: range.lowerBound..<middle),
          let right = model.vocabulary.id(ofPieceIn: bytes, at: middle..<range.upperBound),
          model.vocabulary.kind(of: left) == .text, model.vocabulary.kind(of: right) == .text
        else { continue }
        try model.addMerge(
          of: bytes,
          range.lowerBound,
          middle,
          range.upperBound,
          rank: rank,
          index: index
        )
      }
    }
  }

  private func unsupported(_ feature: String) -> TokenizerError {
    .unsupported(file: file, feature: feature)
  }
}
