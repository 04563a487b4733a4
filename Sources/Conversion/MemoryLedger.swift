// How much memory a model will take, from headers alone: weights by role, cache, scratch, and what of
// the weights would have to be streamed to keep within a budget. Arithmetic only.

import IdeficsModel
import Tensors
import WeightFiles

/// A memory forecast.
public struct MemoryLedger: Sendable, Codable {
  /// Weights of one role.
  public struct Weights: Sendable, Codable {
    /// Role.
    public let role: WeightRole
    /// Encodings in use, in order of bytes.
    public let encodings: [String]
    /// Elements.
    public let parameters: Int
    /// Bytes in memory.
    public let bytes: Int
  }

  /// What is to be run.
  public struct Load: Sendable {
    /// Sequences computed together.
    public var sequences = 1
    /// Tokens of each sequence.
    public var context: Int
    /// Images of each sequence.
    public var images = 1
    /// Most tokens in one pass.
    public var tokensPerStep = 256
    /// Bytes of one page of cache: 16 tokens of one layer.
    public var pageBytes: Int

    /// One sequence of `context` tokens with one image.
    public init(context: Int, pageBytes: Int) {
      self.context = context
      self.pageBytes = pageBytes
    }
  }

  /// Weights by role.
  public let weights: [Weights]
  /// Bytes of all weights.
  public let weightBytes: Int
  /// Bytes of cache for 1,000 tokens of one sequence.
  public let cacheBytesPer1000Tokens: Int
  /// Bytes of cache for one image.
  public let cacheBytesPerImage: Int
  /// Bytes of cache for the whole load.
  public let cacheBytes: Int
  /// Bytes of activations, for the most tokens of a pass.
  public let scratchBytes: Int
  /// Bytes of the program itself: code, tokenizer, heap.
  public let programBytes: Int
  /// All of the above.
  public let totalBytes: Int
  /// The budget, or `nil`.
  public let budgetBytes: Int?
  /// Bytes of weights that do not fit the budget and would be read anew in every pass.
  public let streamedBytes: Int
  /// Whether everything but the weights fits the budget.
  public let isPossible: Bool

  private static let pageTokens = 16
  /// What the program takes before any model: code, libraries and tables, an estimate.
  private static let program = 24 << 20

  /// The forecast for a checkpoint that is still to be converted.
  public init(plan: ConversionPlan, configuration: Configuration, load: Load, budget: Int?) {
    self.init(
      plan.steps.map {
        ($0.role, $0.layout?.encoding.name ?? "dense", $0.source.shape.count, $0.byteCount)
      },
      configuration,
      load,
      budget
    )
  }

  /// The forecast for a converted file.
  public init(file: IdfxFile, configuration: Configuration, load: Load, budget: Int?) {
    var roles: [String: WeightRole] = [:]
    for weight in WeightNames.inventory(of: configuration) { roles[weight.name] = weight.role }
    self.init(
      file.tensors.map { tensor in
        let encoding =
          if case .packed(let layout, _) = tensor.storage { layout.encoding.name } else { "dense" }
        return (roles[tensor.name] ?? .small, encoding, tensor.shape.count, tensor.byteCount)
      },
      configuration,
      load,
      budget
    )
  }

  private init(
    _ tensors: [(role: WeightRole, encoding: String, parameters: Int, bytes: Int)],
    _ c: Configuration,
    _ load: Load,
    _ budget: Int?
  ) {
    weights = WeightRole.allCases.compactMap { role in
      let own = tensors.filter { $0.role == role }
      guard !own.isEmpty else { return nil }
      let sizes = Dictionary(own.map { ($0.encoding, $0.bytes) }, uniquingKeysWith: +)
      return Weights(
        role: role,
        encodings: sizes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map(\.key),
        parameters: own.reduce(0) { $0 + $1.parameters },
        bytes: own.reduce(0) { $0 + $1.bytes }
      )
    }
    weightBytes = tensors.reduce(0) { $0 + $1.bytes }
    func pages(_ tokens: Int) -> Int { (tokens + Self.pageTokens - 1) / Self.pageTokens }
    cacheBytesPer1000Tokens = pages(1000) * c.layers * load.pageBytes
    cacheBytesPerImage = pages(c.imageStates) * c.crossBlocks * load.pageBytes
    cacheBytes =
      load.sequences
      * (pages(load.context) * c.layers * load.pageBytes + load.images * cacheBytesPerImage)
    scratchBytes = Self.scratch(c, tokens: load.tokensPerStep, sequences: load.sequences)
    programBytes = Self.program
    totalBytes = weightBytes + cacheBytes + scratchBytes + programBytes
    budgetBytes = budget
    let fixed = cacheBytes + scratchBytes + programBytes
    let room = max(0, (budget ?? .max) - fixed)
    isPossible = room > 0
    streamedBytes = max(0, weightBytes - room)
  }

  /// Float32 activations of the text stack for `tokens`, and of one image.
  private static func scratch(_ c: Configuration, tokens: Int, sequences: Int) -> Int {
    let text = tokens * (7 * c.hiddenSize + 3 * c.intermediateSize)
    let logits = sequences * c.totalVocabularySize
    let images = c.imageStates * 2 * c.hiddenSize
    let vision =
      c.vision.tokens * (c.vision.patchValues + 7 * c.vision.width + c.vision.intermediateSize)
    let resampler =
      c.perceiver.map {
        c.vision.tokens * (c.vision.width + 2 * $0.innerWidth)
          + $0.latents * (7 * c.vision.width + 4 * $0.innerWidth)
      } ?? 0
    return 4 * (text + logits + images + vision + resampler)
  }
}
