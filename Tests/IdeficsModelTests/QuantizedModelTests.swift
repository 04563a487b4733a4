import Foundation
import IdeficsModel
import Kernels
import Tensors
import TestSupport
import Testing

/// What 8 and 4 bits cost on the `micro` fixture, against float32.
@Suite struct QuantizedModelTests {
  static let cases = ModelCase.all()

  /// Reference gap (best minus second-best logit) below which another choice is no error of q8.
  static let nearTie: Float = 0.05

  /// Logits of every prompt token.
  private func promptLogits(
    _ modelCase: ModelCase,
    _ row: ReferenceCase.Row,
    _ encoding: WeightEncoding
  ) throws -> [[Float]] {
    let harness = try modelCase.harness { _ in encoding }
    let images = try row.images.map { try harness.encode(modelCase.image($0)) }
    let logits = try harness.model.step([
      SequenceSlice(
        tokens: row.tokens,
        position: 0,
        pages: harness.pages(tokens: row.tokens.count, layers: harness.configuration.layers),
        imageRuns: harness.runs(row.attendedImage, images),
        logits: .all
      )
    ])
    return (0..<logits.rows).map { logits.row($0) }
  }

  @Test(arguments: cases)
  func q8ChoosesTheReferenceTokensButForNearTies(_ modelCase: ModelCase) throws {
    let reference = try modelCase.reference()
    let harness = try modelCase.harness { _ in .q8 }
    let barred: Set = [
      harness.configuration.vocabularySize, harness.configuration.vocabularySize + 1,
    ]
    for row in reference.rows {
      let images = try row.images.map { try harness.encode(modelCase.image($0)) }
      let end = Set(reference.generation.eosTokenId)
      var expected = reference.generation.generatedIds[row.index]
      if let stop = expected.firstIndex(where: end.contains) { expected = Array(expected[...stop]) }
      let ids = try harness.greedy(
        row,
        images: images,
        count: expected.count,
        end: end,
        barred: barred
      )
      guard let place = zip(ids, expected).enumerated().first(where: { $1.0 != $1.1 })?.offset
      else { continue }
      let gap = try referenceGap(modelCase, row, Array(expected[..<place]), barred)
      #expect(gap < Self.nearTie, "\(reference.name), row \(row.index), token \(place): gap \(gap)")
    }
  }

  /// How far the two best float32 logits lie apart after `answer`.
  private func referenceGap(
    _ modelCase: ModelCase,
    _ row: ReferenceCase.Row,
    _ answer: [Int],
    _ barred: Set<Int>
  ) throws -> Float {
    let tokens = row.tokens + answer.map(Int32.init)
    let attended = row.attendedImage + answer.map { _ in row.attendedImage.last ?? -1 }
    let harness = try modelCase.harness()
    let images = try row.images.map { try harness.encode(modelCase.image($0)) }
    let logits = try harness.model.step([
      SequenceSlice(
        tokens: tokens,
        position: 0,
        pages: harness.pages(tokens: tokens.count, layers: harness.configuration.layers),
        imageRuns: harness.runs(attended, images),
        logits: .last
      )
    ]).row(0)
    let best = logits.enumerated().filter { !barred.contains($0.offset) }.map(\.element)
      .sorted(by: >)
    return best[0] - best[1]
  }

  /// Mean KL divergence in nats from float32, over all prompt tokens of the fixture's cases.
  @Test(arguments: [(WeightEncoding.q8, 0.002), (.q4g16, 0.35), (.q4g32, 0.5)])
  func divergenceFromFloat32IsBounded(encoding: WeightEncoding, bound: Double) throws {
    var total = 0.0
    var count = 0
    for modelCase in Self.cases where modelCase.model == "micro" {
      let row = try modelCase.reference().rows[0]
      let exact = try promptLogits(modelCase, row, .f32)
      let quantized = try promptLogits(modelCase, row, encoding)
      for (p, q) in zip(exact, quantized) {
        total += divergence(p, q)
        count += 1
      }
    }
    let mean = total / Double(count)
    print("mean KL(f32 ‖ \(encoding.name)) over \(count) tokens: \(mean) nats")
    #expect(mean < bound)
    #expect(mean > 0)
  }

  /// `Σ p (log p − log q)` of two rows of logits.
  private func divergence(_ p: [Float], _ q: [Float]) -> Double {
    func logSoftmax(_ x: [Float]) -> [Double] {
      let largest = Double(x.max() ?? 0)
      let sum = x.reduce(0.0) { $0 + exp(Double($1) - largest) }
      return x.map { Double($0) - largest - log(sum) }
    }
    return zip(logSoftmax(p), logSoftmax(q)).reduce(0) { $0 + exp($1.0) * ($1.0 - $1.1) }
  }
}
