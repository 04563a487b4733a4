// Runs the model on reference cases without an engine: pages are handed out one after another.

import Foundation
import IdeficsModel
import Images
import Kernels
import Tensors
import TestSupport

/// A model with a page allocator that never gives anything back.
final class ModelHarness {
  let model: IdeficsModel
  let configuration: Configuration
  private var nextPage: Int32 = 0

  init(
    source: any WeightSource,
    configuration: Configuration,
    isa: ISA? = nil,
    threads: Int? = nil,
    tokensPerStep: Int = 256,
    cache: KVElement = .f32
  ) throws {
    self.configuration = configuration
    model = try IdeficsModel(
      source: source,
      configuration: configuration,
      compute: try ComputeContext(isa: isa, threads: threads),
      limits: ModelLimits(tokensPerStep: tokensPerStep, pages: 4096, cacheElement: cache)
    )
  }

  /// Pages for `tokens` tokens in each of `layers` layers.
  func pages(tokens: Int, layers: Int) -> PageTable {
    PageTable(
      layers: (0..<layers).map { _ in
        (0..<((tokens + 15) / 16)).map { _ in
          defer { nextPage += 1 }
          return nextPage
        }
      }
    )
  }

  /// Encodes an image file of the fixtures.
  func encode(_ image: URL) throws -> ImagePages {
    let rgb = try ImageDecoder.decode(Array(try Data(contentsOf: image)))
    let size = configuration.vision.imageSize
    let pixels = try ImageProcessor(imageSize: size).process(rgb)
    guard let tensor = PixelTensor(height: size, width: size, values: pixels) else {
      throw HarnessError.badPixels
    }
    return try encode(tensor)
  }

  /// Encodes processed pixels.
  func encode(_ tensor: PixelTensor) throws -> ImagePages {
    let states = model.stateCount(of: tensor)
    let table = pages(tokens: states, layers: configuration.crossBlocks)
    try model.encode(tensor, into: table)
    return ImagePages(table: table, stateCount: states)
  }

  /// Runs of equal attended image.
  func runs(_ attended: some Sequence<Int>, _ images: [ImagePages]) -> [ImageRun] {
    var runs: [(image: Int, count: Int)] = []
    for image in attended {
      if runs.last?.image == image {
        runs[runs.count - 1].count += 1
      } else {
        runs.append((image, 1))
      }
    }
    return runs.map {
      ImageRun(tokenCount: $0.count, image: $0.image < 0 ? nil : images[$0.image])
    }
  }

  /// Greedy continuation, barred ids excluded, until an end token or `count` tokens.
  func greedy(
    _ row: ReferenceCase.Row,
    images: [ImagePages],
    count: Int,
    end: Set<Int>,
    barred: Set<Int>
  ) throws -> [Int] {
    let table = pages(tokens: row.tokens.count + count, layers: configuration.layers)
    var tokens = row.tokens
    var position = 0
    var attended = row.attendedImage
    let last = attended.last ?? -1
    var answer: [Int] = []
    while answer.count < count {
      let logits = try model.step([
        SequenceSlice(
          tokens: tokens,
          position: position,
          pages: table,
          imageRuns: runs(attended, images),
          logits: .last
        )
      ]).row(0)
      var best = -1
      for (id, value) in logits.enumerated() where !barred.contains(id) {
        if best < 0 || value > logits[best] { best = id }
      }
      answer.append(best)
      if end.contains(best) { break }
      position += tokens.count
      tokens = [Int32(best)]
      attended = [last]
    }
    return answer
  }
}

enum HarnessError: Error { case badPixels }
