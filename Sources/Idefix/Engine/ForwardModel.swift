// What the engine asks of a model: encode an image, step a batch, copy a page. IdeficsModel behind an adapter in
// production; in tests a model whose every output depends on exactly the pages it was told to read.

import IdeficsModel
import WeightFiles

/// A model that the engine loop can drive.
///
/// Belongs to one thread.
package protocol ForwardModel: AnyObject {
  /// Width of the logits.
  var vocabularySize: Int { get }
  /// Decoder layers: unit pages of a block of tokens.
  var layers: Int { get }
  /// Cross blocks: each needs pages for the states of an image.
  var crossBlocks: Int { get }
  /// States of one image.
  var imageStates: Int { get }
  /// Unit pages of the store.
  var pages: Int { get }
  /// Bytes of one unit page.
  var pageBytes: Int { get }
  /// Tokens one step may carry.
  var tokensPerStep: Int { get }
  /// Stops a running pass within the current layer.
  var cancellation: CancellationFlag { get }

  /// Where the weights are.
  var residency: WeightResidency { get }

  /// Encodes an image `[3, side, side]` into pages `[crossBlocks][⌈imageStates / 16⌉]`; `finished` is told of
  /// every stage as it ends, and of the bytes that it made.
  func encode(
    _ image: PixelTensor,
    into pages: PageTable,
    _ finished: (ImageStage, _ bytes: Int) -> Void
  ) throws
  /// One pass over the weights; `consume` gets each wanted row of logits, in order.
  func step(
    _ slices: [SequenceSlice],
    _ consume: (_ row: Int, _ logits: [Float]) throws -> Void
  ) throws
  /// Copies a unit page.
  func copyPage(from source: Int32, to destination: Int32)
  /// A unit page's bytes, `pageBytes` of them.
  func bytes(ofPage page: Int32) -> [UInt8]
  /// Overwrites a unit page.
  func setBytes(_ bytes: [UInt8], ofPage page: Int32)
  /// Makes a unit page's contents such that whoever reads them before writing is found out.
  func poison(_ page: Int32)
}

extension ForwardModel {
  /// No weights.
  package var residency: WeightResidency { WeightResidency() }
}

/// Tokens in a page.
package let pageTokens = 16

/// Where the pages of a block stand in a page table.
package enum BlockLayout {
  /// Pages of a block of an image.
  package static func imagePages(of model: any ForwardModel) -> Int {
    model.crossBlocks * ((model.imageStates + pageTokens - 1) / pageTokens)
  }

  /// The table of an image's block.
  package static func imageTable(_ pages: [Int32], crossBlocks: Int) -> PageTable {
    let count = pages.count / crossBlocks
    return PageTable(
      layers: (0..<crossBlocks).map { Array(pages[($0 * count)..<(($0 + 1) * count)]) }
    )
  }
}

/// An ``IdeficsModel`` as the engine drives it.
final class LoadedModel: ForwardModel {
  private let model: IdeficsModel
  let pageBytes: Int
  let residency: WeightResidency

  init(_ model: IdeficsModel, residency: WeightResidency, pageBytes: Int) {
    self.model = model
    self.residency = residency
    self.pageBytes = pageBytes
  }

  var vocabularySize: Int { model.configuration.totalVocabularySize }
  var layers: Int { model.configuration.layers }
  var crossBlocks: Int { model.configuration.crossBlocks }
  var imageStates: Int { model.configuration.imageStates }
  var pages: Int { model.limits.pages }
  var tokensPerStep: Int { model.limits.tokensPerStep }
  var cancellation: CancellationFlag { model.cancellation }

  func encode(
    _ image: PixelTensor,
    into pages: PageTable,
    _ finished: (ImageStage, _ bytes: Int) -> Void
  ) throws {
    do {
      try model.encode(image, into: pages, finished)
    } catch ModelError.weights(let error) {
      throw EngineError(lost: error)
    }
  }

  func step(
    _ slices: [SequenceSlice],
    _ consume: (_ row: Int, _ logits: [Float]) throws -> Void
  ) throws {
    let logits: Logits
    do {
      logits = try model.step(slices)
    } catch .weights(let error) {
      throw EngineError(lost: error)
    }
    for row in 0..<logits.rows { try consume(row, logits.row(row)) }
  }

  func copyPage(from source: Int32, to destination: Int32) {
    model.pageStore.copyPage(from: source, to: destination)
  }

  func bytes(ofPage page: Int32) -> [UInt8] { model.pageStore.bytes(of: page) }

  func setBytes(_ bytes: [UInt8], ofPage page: Int32) { model.pageStore.setBytes(bytes, of: page) }

  func poison(_ page: Int32) { model.pageStore.poison(page) }
}

extension EngineError {
  /// A failure to read streamed weights.
  fileprivate init(lost error: WeightFileError) {
    self = .weightsLost(reason: error.description, isDamage: error.kind == .badData)
  }
}
