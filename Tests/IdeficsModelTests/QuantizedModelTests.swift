import Foundation
import IdeficsModel
import Kernels
import Tensors
import TestSupport
import Testing

/// What 8 and 4 bits cost on the `micro` fixture, against float32.
@Suite struct QuantizedModelTests {
  static let cases = ModelCase.all()

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

  /// Mean KL divergence in nats from float32, and agreement of the most probable token, over all
  /// prompt tokens of the fixture's cases; every matrix packed by the plain reference quantiser.
  ///
  /// The fixture's random weights amplify every rounding: with float32 activations and nothing but the
  /// weights rounded to 8 bits the divergence is 0.0056 already. Equal greedy answers take 11 bits or
  /// 12 (`Models/README.md`), so the bounds hold what was measured, with a margin of a third.
  @Test(arguments: [
    (WeightEncoding.q8, 0.015, 0.93), (.q4g16, 1.9, 0.3), (.q4g32, 2.0, 0.3),
  ])
  func divergenceFromFloat32IsBounded(
    encoding: WeightEncoding,
    bound: Double,
    agreement: Double
  ) throws {
    var total = 0.0
    var count = 0
    var agreeing = 0
    for modelCase in Self.cases where modelCase.model == "micro" {
      let row = try modelCase.reference().rows[0]
      let exact = try promptLogits(modelCase, row, .f32)
      let quantized = try promptLogits(modelCase, row, encoding)
      for (p, q) in zip(exact, quantized) {
        total += divergence(p, q)
        agreeing += p.firstIndex(of: p.max() ?? 0) == q.firstIndex(of: q.max() ?? 0) ? 1 : 0
        count += 1
      }
    }
    let mean = total / Double(count)
    let share = Double(agreeing) / Double(count)
    print("KL(f32 ‖ \(encoding.name)) over \(count) tokens: \(mean) nats; top-1 agreement \(share)")
    #expect(mean < bound)
    #expect(mean > 0)
    #expect(share > agreement)
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
