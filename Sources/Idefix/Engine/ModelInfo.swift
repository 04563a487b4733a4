// What an engine tells about the model it runs.

/// Facts of the loaded model.
public struct ModelInfo: Sendable, Equatable {
  /// File name without extension.
  public var name: String
  /// Path it was loaded from.
  public var path: String
  /// Fingerprint of the file in hexadecimal digits: same weights and tokenizer, same fingerprint.
  public var fingerprint: String
  /// Whether the tokenizer has `<end_of_utterance>`: prompts get turns around them by default.
  public var isInstruct: Bool
  /// Ids the model can produce.
  public var vocabularySize: Int
  /// Tokens a sequence may have, prompt and answer.
  public var contextTokens: Int
  /// Width of the text stack.
  public var hiddenSize: Int
  /// Decoder layers.
  public var layers: Int
  /// Gated cross-attention blocks.
  public var crossBlocks: Int
  /// Side of the square image the vision tower takes, in pixels.
  public var imageSize: Int
  /// Recipe the weights were converted with.
  public var recipe: String
  /// Instruction set in use.
  public var isa: String
  /// Threads in use.
  public var threads: Int
  /// Storage of cached keys and values.
  public var cacheElement: CacheElement
  /// Bytes set aside for cached keys and values (reserved, used page by page).
  public var cacheBytes: Int
  /// `<s>`, `</s>` and, if the model has it, `<end_of_utterance>`.
  public var bosToken: Int32
  /// `</s>`.
  public var eosToken: Int32
  /// `<end_of_utterance>`.
  public var endOfUtteranceToken: Int32?

  /// Facts of a model.
  package init(
    name: String,
    path: String,
    fingerprint: String,
    isInstruct: Bool,
    vocabularySize: Int,
    contextTokens: Int,
    hiddenSize: Int,
    layers: Int,
    crossBlocks: Int,
    imageSize: Int,
    recipe: String,
    isa: String,
    threads: Int,
    cacheElement: CacheElement = .f16,
    cacheBytes: Int,
    bosToken: Int32,
    eosToken: Int32,
    endOfUtteranceToken: Int32?
  ) {
    self.name = name
    self.path = path
    self.fingerprint = fingerprint
    self.isInstruct = isInstruct
    self.vocabularySize = vocabularySize
    self.contextTokens = contextTokens
    self.hiddenSize = hiddenSize
    self.layers = layers
    self.crossBlocks = crossBlocks
    self.imageSize = imageSize
    self.recipe = recipe
    self.isa = isa
    self.threads = threads
    self.cacheElement = cacheElement
    self.cacheBytes = cacheBytes
    self.bosToken = bosToken
    self.eosToken = eosToken
    self.endOfUtteranceToken = endOfUtteranceToken
  }
}
