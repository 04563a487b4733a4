// How much memory a model will take, from headers alone: weights by role, cache, scratch and program, and
// what of the weights is streamed to keep within a budget. Arithmetic only; the engine plans with it, and
// `idefix plan` prints it.

import Kernels
import Tensors
import WeightFiles

/// A memory forecast.
public struct MemoryLedger: Sendable {
  /// A tensor, as far as the ledger is concerned.
  public struct Entry: Sendable {
    /// Name.
    public let name: String
    /// Encoding, or `dense`.
    public let encoding: String
    /// Elements.
    public let parameters: Int
    /// Bytes in memory.
    public let bytes: Int
    /// Bytes in the file.
    public let storedBytes: Int
    /// Whether a mapped file has the bytes as they are used.
    public let isInPlace: Bool

    /// One line of the ledger's input.
    public init(
      name: String,
      encoding: String,
      parameters: Int,
      bytes: Int,
      storedBytes: Int,
      isInPlace: Bool = false
    ) {
      self.name = name
      self.encoding = encoding
      self.parameters = parameters
      self.bytes = bytes
      self.storedBytes = storedBytes
      self.isInPlace = isInPlace
    }
  }

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
    /// Most tokens of a pass whose logits are wanted.
    public var logitRows = 1
    /// Threads that decode streamed weights.
    public var decodingThreads = 2
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
  /// Weights by section.
  public let inventory: SectionInventory
  /// Bytes of cache for 1,000 tokens of one sequence.
  public let cacheBytesPer1000Tokens: Int
  /// Bytes of cache for one image.
  public let cacheBytesPerImage: Int
  /// Bytes of cache for the whole load.
  public let cacheBytes: Int
  /// Most bytes of cache in use beside the weights of images, where those are decoded on demand; `nil` without images.
  private let cacheBytesBesideImages: Int?
  /// Bytes of blocks on their way from the file, when weights are streamed.
  public let readerBytes: Int
  /// Bytes of activations, for the most tokens of a pass.
  public let scratchBytes: Int
  /// Bytes of the program itself: code, tokenizer, heap.
  public let programBytes: Int

  /// The most that the load takes with weights as `plan` has them, its images being shown at the beginning if it is one
  /// sequence.
  public func totalBytes(_ plan: ResidencyPlan) -> Int {
    let images = cacheBytesBesideImages.map { $0 + plan.onDemandBytes } ?? 0
    return scratchBytes + programBytes + plan.bytes + max(cacheBytes, images)
      + (plan.isStreaming ? readerBytes : 0)
  }

  /// What the load needs besides weights.
  public var needs: MemoryDivision.Needs {
    MemoryDivision.Needs(
      fixedBytes: scratchBytes + programBytes,
      readerBytes: readerBytes,
      leastCacheBytes: cacheBytes,
      usefulCacheBytes: cacheBytes
    )
  }

  private static let pageTokens = 16
  /// What the program takes before any model, measured: code, libraries, the heap they fill.
  private static let program = 35 << 20

  /// The forecast for a converted file.
  public init(file: IdfxFile, configuration: Configuration, load: Load) {
    let entries = file.tensors.map { tensor in
      let encoding =
        if case .packed(let layout, _) = tensor.storage { layout.encoding.name } else { "dense" }
      return Entry(
        name: tensor.name,
        encoding: encoding,
        parameters: tensor.shape.count,
        bytes: tensor.extents.reduce(0) { $0 + TensorPlacement.aligned($1.byteCount) },
        storedBytes: tensor.storedByteCount,
        isInPlace: file.isInPlace(tensor)
      )
    }
    let blocks = file.tensors.lazy.flatMap(\.extents).flatMap(\.blocks)
    self.init(
      entries,
      configuration: configuration,
      load: load,
      blockBytes: blocks.map(\.storedBytes).max() ?? 0
    )
  }

  /// The forecast for tensors of given sizes, in blocks of up to `blockBytes` in the file.
  public init(
    _ tensors: [Entry],
    configuration c: Configuration,
    load: Load,
    blockBytes: Int = IdfxFormat.maximumBlockBytes
  ) {
    var roles: [String: WeightRole] = [:]
    for weight in WeightNames.inventory(of: c) { roles[weight.name] = weight.role }
    let groups = Dictionary(grouping: tensors) { roles[$0.name] ?? .small }
    weights = WeightRole.allCases.compactMap { role in
      guard let own = groups[role] else { return nil }
      let sizes = Dictionary(own.map { ($0.encoding, $0.bytes) }, uniquingKeysWith: +)
      return Weights(
        role: role,
        encodings: sizes.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.map(\.key),
        parameters: own.reduce(0) { $0 + $1.parameters },
        bytes: own.reduce(0) { $0 + $1.bytes }
      )
    }
    weightBytes = tensors.reduce(0) { $0 + $1.bytes }
    inventory = SectionInventory(
      configuration: c,
      sizes: Dictionary(
        tensors.map { ($0.name, ($0.bytes, $0.storedBytes, $0.isInPlace ? $0.bytes : 0)) },
        uniquingKeysWith: { first, _ in first }
      )
    )
    func pages(_ tokens: Int) -> Int { (tokens + Self.pageTokens - 1) / Self.pageTokens }
    cacheBytesPer1000Tokens = pages(1000) * c.layers * load.pageBytes
    cacheBytesPerImage = pages(c.imageStates) * c.crossBlocks * load.pageBytes
    cacheBytes =
      load.sequences
      * (pages(load.context) * c.layers * load.pageBytes + load.images * cacheBytesPerImage)
    let tokens = min(load.context, IdeficsModel.tokensBesideImageWeights)
    let cacheOfFirstTokens =
      pages(tokens) * c.layers * load.pageBytes + load.images * cacheBytesPerImage
    cacheBytesBesideImages =
      load.images > 0 ? (load.sequences > 1 ? cacheBytes : cacheOfFirstTokens) : nil
    readerBytes = load.decodingThreads * blockBytes
    scratchBytes = Self.scratch(c, load)
    programBytes = Self.program
  }

  /// Float32 activations of a pass over text, and of one image, if there are any, with its keys and
  /// values; packed activations.
  private static func scratch(_ c: Configuration, _ load: Load) -> Int {
    let projected = max(3 * c.hiddenSize, 2 * c.intermediateSize)
    // Keys and values of an image use the room of a step's products.
    let images = load.images > 0 ? c.imageStates * 2 * c.hiddenSize : 0
    let text =
      load.tokensPerStep * (2 * c.hiddenSize + c.intermediateSize)
      + max(load.tokensPerStep * projected, images)
    let logits = load.logitRows * c.totalVocabularySize
    guard load.images > 0 else {
      return 4 * (text + logits) + load.tokensPerStep * max(c.intermediateSize, c.hiddenSize)
    }
    func cached(_ tokens: Int, _ width: Int) -> Int {
      (tokens + pageTokens - 1) / pageTokens * pageTokens * 2 * width
    }
    let tokens = c.vision.tokens
    let vision =
      tokens * (c.vision.patchValues + 8 * c.vision.width + c.vision.intermediateSize)
      + cached(tokens, c.vision.width)
    let resampler =
      c.perceiver.map {
        tokens * (c.vision.width + 2 * $0.innerWidth)
          + $0.latents * (7 * c.vision.width + 4 * $0.innerWidth)
          + cached(tokens + $0.latents, $0.innerWidth)
      } ?? 0
    let packed = max(load.tokensPerStep, tokens) * max(c.intermediateSize, c.hiddenSize)
    return 4 * (text + logits + vision + resampler) + packed
  }
}
