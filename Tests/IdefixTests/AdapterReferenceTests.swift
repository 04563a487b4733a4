import Conversion
import Foundation
import Idefix
import TestSupport
import Testing

/// A LoRA adapter merged while converting against the same adapter in PEFT.
@Suite(.timeLimit(.minutes(2))) struct AdapterReferenceTests {
  @Test func mergedAdapterGivesTheReferenceLogits() async throws {
    let expected = try TensorFixture("adapters/micro/expected.safetensors")
    let logits = try expected.floats("logits")
    let ids = try expected.integers("input_ids").map { Int32($0) }
    let width = logits.count / ids.count
    let prompt = Prompt.interleaved([
      .image(.encoded(try Fixture.bytes("images/rgb_320x200.png"))),
      .text("Question: What's on the picture? Answer:"),
    ])
    let adapter = Fixture.url("adapters/micro").path
    try await MicroModel.withEngine(adapter: adapter) { engine in
      var request = ScoreRequest(prompt: prompt)
      request.reportsDistributions = true
      let scores = try await engine.score(request)
      #expect(scores.map(\.id) == ids)
      for (place, score) in scores.enumerated().dropFirst() {
        let row = Array(logits[((place - 1) * width)..<(place * width)])
        let total = ScoreMath.logSumExp(row)
        let largest = zip(row, score.distribution)
          .reduce(0) { max($0, abs(Double($1.0) - total - Double($1.1))) }
        #expect(score.distribution.count == width && largest < 1e-4, "token \(place): \(largest)")
      }

      var generation = GenerationRequest(prompt: prompt)
      let answer = try expected.integers("generated_ids").map { Int32($0) }
      generation.sampling.maxTokens = answer.count
      generation.sampling.ignoresEOS = true
      let result = try await engine.result(generation)
      #expect(result.sequences[0].tokens.map(\.id) == answer)
    }
  }

  /// Without the adapter the answer is another one: the test above can fail.
  @Test func theAdapterChangesTheLogits() async throws {
    let expected = try TensorFixture("adapters/micro/expected.safetensors")
    let answer = try expected.integers("generated_ids").map { Int32($0) }
    let ids = try expected.integers("input_ids").map { Int32($0) }
    try await MicroModel.withEngine { engine in
      var generation = GenerationRequest(
        prompt: .interleaved([
          .image(.encoded(try Fixture.bytes("images/rgb_320x200.png"))),
          .text("Question: What's on the picture? Answer:"),
        ])
      )
      generation.sampling.maxTokens = answer.count
      generation.sampling.ignoresEOS = true
      let result = try await engine.result(generation)
      #expect(result.prompt.tokens.count == ids.count)
      #expect(result.sequences[0].tokens.map(\.id) != answer)
    }
  }
}
