import Foundation
import IdeficsModel
import Kernels
import Tensors
import TestSupport
import Testing

/// Equalities that must hold to the last bit, whatever the weights.
@Suite struct ExactnessTests {
  static let encodings: [WeightEncoding] = WeightEncoding.allCases

  /// All logits of a case, as bit patterns.
  private func logits(
    _ modelCase: ModelCase,
    _ encoding: WeightEncoding,
    isa: ISA? = nil,
    threads: Int? = nil,
    chunk: Int = .max
  ) throws -> [UInt32] {
    let harness = try modelCase.harness(isa: isa, threads: threads) { _ in encoding }
    let row = try modelCase.reference().rows[0]
    let images = try row.images.map { try harness.encode(modelCase.image($0)) }
    let table = harness.pages(tokens: row.tokens.count, layers: harness.configuration.layers)
    var bits: [UInt32] = []
    var position = 0
    while position < row.tokens.count {
      let range = position..<min(row.tokens.count, position + min(chunk, row.tokens.count))
      let logits = try harness.model.step([
        SequenceSlice(
          tokens: Array(row.tokens[range]),
          position: position,
          pages: table,
          imageRuns: harness.runs(row.attendedImage[range], images),
          logits: .all
        )
      ])
      for index in 0..<logits.rows { bits += logits.row(index).map(\.bitPattern) }
      position = range.upperBound
    }
    return bits
  }

  private func micro(_ name: String) throws -> ModelCase {
    try #require(ModelCase.all().first { $0.model == "micro" && $0.name == name })
  }

  @Test(arguments: encodings)
  func instructionSetsThreadsAndChunksGiveTheSameBits(encoding: WeightEncoding) throws {
    let modelCase = try micro("three_images_few_shot")
    let expected = try logits(modelCase, encoding, isa: .portable, threads: 1)
    for isa in ISA.available {
      for (threads, chunk) in [(1, Int.max), (2, 1), (3, 5), (2, 16)] {
        let actual = try logits(modelCase, encoding, isa: isa, threads: threads, chunk: chunk)
        #expect(actual == expected, "\(isa) \(threads) threads, chunks of \(chunk)")
      }
    }
  }

  @Test(arguments: encodings)
  func tokensBeforeAnImageDoNotDependOnIt(encoding: WeightEncoding) throws {
    let modelCase = try micro("text_before_image")
    let row = try modelCase.reference().rows[0]
    let before = row.attendedImage.prefix { $0 < 0 }.count
    #expect(before > 0)
    var results: [[UInt32]] = []
    for image in [nil, "rgba.png", "rgb_320x200.png"] {
      let harness = try modelCase.harness { _ in encoding }
      let images = try [image].compactMap(\.self).map { try harness.encode(modelCase.image($0)) }
      let attended = row.attendedImage.map { images.isEmpty ? -1 : $0 }
      let logits = try harness.model.step([
        SequenceSlice(
          tokens: row.tokens,
          position: 0,
          pages: harness.pages(tokens: row.tokens.count, layers: harness.configuration.layers),
          imageRuns: harness.runs(attended, images),
          logits: .all
        )
      ])
      results.append((0..<before).flatMap { logits.row($0).map(\.bitPattern) })
    }
    #expect(results[0] == results[1])
    #expect(results[1] == results[2])
  }

  @Test(arguments: encodings)
  func aBatchGivesTheSameBitsAsEachSequenceAlone(encoding: WeightEncoding) throws {
    let harness = try micro("one_image").harness(tokensPerStep: 512) { _ in encoding }
    let names = ["one_image", "text_only", "chat_manual_eou", "eos_in_prompt"]
    var slices: [SequenceSlice] = []
    for name in names + names {
      let modelCase = try micro(name)
      let row = try modelCase.reference().rows[0]
      let images = try row.images.map { try harness.encode(modelCase.image($0)) }
      slices.append(
        SequenceSlice(
          tokens: row.tokens,
          position: 0,
          pages: harness.pages(tokens: row.tokens.count, layers: harness.configuration.layers),
          imageRuns: harness.runs(row.attendedImage, images),
          logits: .last
        )
      )
    }
    let together = try harness.model.step(slices)
    let batched = (0..<together.rows).map { together.row($0).map(\.bitPattern) }
    #expect(batched.count == 8)
    for (index, slice) in slices.enumerated() {
      #expect(try harness.model.step([slice]).row(0).map(\.bitPattern) == batched[index])
    }
  }

  @Test func aRaisedFlagStopsThePass() throws {
    let harness = try micro("text_only").harness()
    harness.model.cancellation.raise()
    #expect(throws: ModelError.self) {
      _ = try harness.model.step([
        SequenceSlice(
          tokens: [1, 2],
          position: 0,
          pages: harness.pages(tokens: 2, layers: harness.configuration.layers),
          imageRuns: [ImageRun(tokenCount: 2, image: nil)],
          logits: .last
        )
      ])
    }
  }
}
