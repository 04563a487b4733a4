// A model under measurement: it runs the same passes as the engine does, without requests around them.

import IdeficsModel
import Kernels
import Tensors
import WeightFiles

/// A model with a page for everything, and what its passes cost at best.
final class BenchSubject {
  let model: IdeficsModel
  let compute: ComputeContext
  let configuration: Configuration
  /// Bytes of the weights that one pass of the text stack reads.
  let bytesPerPass: Int
  /// Multiply-adds of those weights for one token, the head included.
  let productsPerToken: Int
  /// Multiply-adds of the head alone, which a prompt takes for its last token only.
  let productsOfHead: Int
  /// Multiply-adds of vision tower, resampler and cross-attention keys and values for one image.
  let productsPerImage: Int
  private var nextPage: Int32 = 0

  /// Most tokens of a pass.
  static let tokensPerStep = 512

  /// Pages of cache for `sequences` sequences of `tokens` tokens, and `images` images.
  static func pages(_ c: Configuration, _ tokens: Int, _ images: Int, _ sequences: Int) -> Int {
    sequences * ((tokens + 15) / 16) * c.layers
      + images * ((c.imageStates + 15) / 16) * c.crossBlocks + 1
  }

  init(
    source: any WeightSource,
    configuration: Configuration,
    compute: ComputeContext,
    tokens: Int,
    images: Int,
    sequences: Int,
    cacheElement: KVElement
  ) throws {
    self.configuration = configuration
    self.compute = compute
    model = try IdeficsModel(
      source: source,
      configuration: configuration,
      compute: compute,
      limits: ModelLimits(
        tokensPerStep: Self.tokensPerStep,
        pages: Self.pages(configuration, tokens, images, sequences),
        cacheElement: cacheElement
      )
    )
    var bytes = 0
    var products = 0
    var headProducts = 0
    var imageProducts = 0
    let tokens = configuration.vision.tokens
    let states = configuration.imageStates
    for specification in WeightNames.inventory(of: configuration) where specification.role.isMatrix
    {
      let shape = specification.shapes[0]
      let count = shape.reduce(1, *)
      switch specification.role {
      case .embedding, .additionalEmbedding, .small: break
      case .decoderAttention, .decoderMLP, .crossAttention, .crossMLP, .head, .additionalHead:
        bytes += try source.packed(specification.name).byteCount
        products += count
        if specification.role == .head || specification.role == .additionalHead {
          headProducts += count
        }
      case .crossImage, .perceiverMLP: imageProducts += count * states
      case .visionPatch: imageProducts += count * (tokens - 1)
      case .visionAttention, .visionMLP: imageProducts += count * tokens
      case .perceiverAttention:
        // Keys and values are those of all vision tokens and of the latents.
        let isKeyOrValue = ["k_proj.weight", "v_proj.weight"].contains {
          specification.name.hasSuffix($0)
        }
        imageProducts += count * (isKeyOrValue ? tokens + states : states)
      }
    }
    bytesPerPass = bytes
    productsPerToken = products
    productsOfHead = headProducts
    productsPerImage = imageProducts
  }

  /// Multiply-adds of a prompt of `length` tokens.
  func products(ofPrompt length: Int) -> Int {
    (productsPerToken - productsOfHead) * length + productsOfHead
  }

  /// Takes all pages back; earlier tables must not be used any more.
  func reset() { nextPage = 0 }

  /// Pages for one sequence of `tokens` tokens.
  func textTable(tokens: Int) -> PageTable {
    table(blocks: (tokens + 15) / 16, configuration.layers)
  }

  /// Encodes an image of noise.
  func encodeImage() throws -> ImagePages {
    let size = configuration.vision.imageSize
    let values = (0..<(3 * size * size)).map { Float($0 &* 7919 % 255) / 127 - 1 }
    guard let image = PixelTensor(height: size, width: size, values: values) else {
      throw CommandFailure(.software, "The test image could not be made.")
    }
    let states = model.stateCount(of: image)
    let pages = table(blocks: (states + 15) / 16, configuration.crossBlocks)
    try model.encode(image, into: pages)
    return ImagePages(table: pages, stateCount: states)
  }

  /// Computes `count` prompt tokens behind `position`, in chunks.
  func prefill(_ count: Int, at position: Int, _ pages: PageTable, image: ImagePages?) throws {
    var done = 0
    while done < count {
      let chunk = min(count - done, model.limits.tokensPerStep)
      let isLast = done + chunk == count
      let tokens = (0..<chunk).map { Int32(3 + (position + done + $0) &* 31 % 29000) }
      _ = try model.step([
        SequenceSlice(
          tokens: clamped(tokens),
          position: position + done,
          pages: pages,
          imageRuns: [ImageRun(tokenCount: chunk, image: image)],
          logits: isLast ? .last : .none
        )
      ])
      done += chunk
    }
  }

  /// One decode step of every sequence, all at the same position.
  func decode(_ tables: [PageTable], at position: Int, image: ImagePages?) throws {
    _ = try model.step(
      tables.map { pages in
        SequenceSlice(
          tokens: clamped([Int32(3 + position &* 17 % 29000)]),
          position: position,
          pages: pages,
          imageRuns: [ImageRun(tokenCount: 1, image: image)],
          logits: .last
        )
      }
    )
  }

  /// Bytes of cached keys and values that one decode step of a sequence reads at `depth`.
  func cacheBytes(depth: Int, hasImage: Bool) -> Int {
    let page = PageStore.bytesPerPage(
      heads: configuration.heads,
      headDim: configuration.headDim,
      element: model.limits.cacheElement
    )
    let image = hasImage ? configuration.crossBlocks * (configuration.imageStates + 15) / 16 : 0
    return page * ((depth + 15) / 16 * configuration.layers + image)
  }

  private func clamped(_ tokens: [Int32]) -> [Int32] {
    tokens.map { $0 % Int32(configuration.vocabularySize) }
  }

  private func table(blocks: Int, _ layers: Int) -> PageTable {
    PageTable(
      layers: (0..<layers).map { _ in
        (0..<blocks).map { _ in
          defer { nextPage += 1 }
          return nextPage
        }
      }
    )
  }
}
