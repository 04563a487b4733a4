import Foundation
import IdeficsModel
import Kernels
import TestSupport
import Testing

/// The model against transformers in float32, layer by layer, on every case of the `micro` fixture.
///
/// `IDEFIX_REFERENCE` may name a folder of more models in the same layout; all of them are tested then.
@Suite struct ReferenceModelTests {
  /// Largest relative error of a layer's output: `max |a − b| / max |b|` over the tensor.
  static let layerBound: Float = 1e-4
  /// Largest absolute error of a logit.
  static let logitBound: Float = 1e-3

  static let cases: [ModelCase] = ModelCase.all()

  @Test(arguments: cases)
  func everyLayerMatchesTheReference(_ modelCase: ModelCase) throws {
    let reference = try modelCase.reference()
    let harness = try modelCase.harness()
    for row in reference.rows {
      harness.model.recorder = LayerRecorder()
      let images = try row.images.map { try harness.encode(modelCase.image($0)) }
      let encoded = harness.model.recorder?.entries ?? []
      try checkImages(encoded, reference, row, harness.configuration)

      let recorder = LayerRecorder()
      harness.model.recorder = recorder
      let logits = try harness.model.step([
        SequenceSlice(
          tokens: row.tokens,
          position: 0,
          pages: harness.pages(tokens: row.tokens.count, layers: harness.configuration.layers),
          imageRuns: harness.runs(row.attendedImage, images),
          logits: .all
        )
      ])
      for entry in recorder.entries {
        guard let expected = try reference.values(entry.name, row: row.index) else { continue }
        let kept = Array(expected.values[(row.columns.lowerBound * entry.columns)...])
        let error = relativeError(entry.values, kept)
        #expect(error < Self.layerBound, "\(reference.name) \(entry.name): \(error)")
      }
      try checkLogits(logits, reference, row)
    }
  }

  @Test(arguments: cases)
  func greedyGenerationMatchesTheReference(_ modelCase: ModelCase) throws {
    let reference = try modelCase.reference()
    let harness = try modelCase.harness()
    let barred: Set = [
      harness.configuration.vocabularySize, harness.configuration.vocabularySize + 1,
    ]
    for row in reference.rows {
      let images = try row.images.map { try harness.encode(modelCase.image($0)) }
      for generation in [reference.generation, reference.earlyStop] {
        let end = Set(generation.eosTokenId)
        // Rows of a batch that end early are padded with zeros behind their end token.
        var expected = generation.generatedIds[row.index]
        if let stop = expected.firstIndex(where: end.contains) {
          expected = Array(expected[...stop])
        }
        let ids = try harness.greedy(
          row,
          images: images,
          count: expected.count,
          end: end,
          barred: barred
        )
        #expect(ids == expected, "\(reference.name), row \(row.index)")
      }
    }
  }

  private func checkImages(
    _ entries: [LayerRecorder.Entry],
    _ reference: ReferenceCase,
    _ row: ReferenceCase.Row,
    _ configuration: Configuration
  ) throws {
    // The reference records what a resampler module adds; ours records the stream it is added to.
    var stream: [Float] = []
    var image = -1
    for entry in entries {
      if entry.name == "vision.embeddings" { image += 1 }
      var expected: [Float]
      if let recorded = try reference.values("image_hidden_states", row: row.index),
        entry.name == "image_hidden_states"
      {
        let count = recorded.values.count / recorded.shape[0]
        expected = Array(recorded.values[(image * count)..<((image + 1) * count)])
      } else if let recorded = try reference.values(entry.name, row: image) {
        expected = recorded.values
        if entry.name.hasPrefix("perceiver.") {
          if entry.name == "perceiver.block.0.attn_out" {
            stream = zip(entry.values, recorded.values).map { $0 - $1 }
          }
          stream = zip(stream, recorded.values).map { $0 + $1 }
          expected = stream
        }
      } else {
        continue
      }
      let error = relativeError(entry.values, expected)
      #expect(error < Self.layerBound, "\(reference.name) \(entry.name): \(error)")
    }
  }

  private func checkLogits(
    _ logits: Logits,
    _ reference: ReferenceCase,
    _ row: ReferenceCase.Row
  ) throws {
    if let expected = try reference.values("logits", row: row.index) {
      let width = expected.shape[1]
      for index in 0..<logits.rows {
        let start = (row.columns.lowerBound + index) * width
        let error = maximumDifference(
          logits.row(index),
          Array(expected.values[start..<(start + width)])
        )
        #expect(error < Self.logitBound, "\(reference.name) logits of token \(index): \(error)")
      }
    } else if let expected = try reference.values("logits_last", row: row.index) {
      let error = maximumDifference(logits.row(logits.rows - 1), expected.values)
      #expect(error < Self.logitBound, "\(reference.name) last logits: \(error)")
    }
  }
}

/// `max |a − b| / max |b|`.
func relativeError(_ a: [Float], _ b: [Float]) -> Float {
  guard a.count == b.count else { return .infinity }
  let scale = b.reduce(0) { max($0, abs($1)) }
  return maximumDifference(a, b) / max(scale, .leastNormalMagnitude)
}

/// `max |a − b|`; infinite when the counts differ or a value is not a number.
func maximumDifference(_ a: [Float], _ b: [Float]) -> Float {
  guard a.count == b.count else { return .infinity }
  var largest: Float = 0
  for (x, y) in zip(a, b) {
    guard !(x - y).isNaN else { return .infinity }
    largest = max(largest, abs(x - y))
  }
  return largest
}
