import Foundation
import Idefix
import TestSupport
import Testing

/// The whole engine against what transformers generated.
@Suite(.timeLimit(.minutes(5))) struct EngineReferenceTests {
  private func requests(
    _ golden: ProcessorCase,
    _ expected: ProcessorCase.Generation
  ) throws -> [GenerationRequest] {
    try golden.prompts.map { items in
      var request = GenerationRequest(
        prompt: try golden.prompt(items) { name in
          .encoded(try Fixture.bytes("images/" + name))
        }
      )
      request.sampling.maxTokens = expected.maxTokens
      request.sampling.ignoresEOS = true
      request.sampling.stopTokens = expected.eosTokens
      return request
    }
  }

  /// The reference fills finished rows with pad.
  private func trimmed(_ row: [Int32], _ eos: [Int32]) -> [Int32] {
    guard let end = row.firstIndex(where: eos.contains) else { return row }
    return Array(row[...end])
  }

  @Test func greedyAnswersEqualTheReferenceInAnyBatching() async throws {
    var work: [(name: String, request: GenerationRequest, expected: [Int32])] = []
    for name in ProcessorCase.names {
      let golden = try ProcessorCase(named: name)
      for expected in [golden.generation, golden.earlyStop] {
        for (row, request) in try requests(golden, expected).enumerated() {
          work.append((name, request, trimmed(expected.generatedIds[row], expected.eosTokens)))
        }
      }
    }
    try await MicroModel.withEngine { engine in
      for (name, request, expected) in work {
        var cold = request
        cold.usesPrefixCache = false
        let result = try await engine.result(cold)
        #expect(result.sequences[0].tokens.map(\.id) == expected, "\(name)")
      }
    }
    let all = work
    try await MicroModel.withEngine(
      change: {
        $0.tokensPerStep = 24
        $0.poisonsPages = true
      }
    ) { engine in
      let answers = try await withThrowingTaskGroup(of: (Int, [Int32]).self) { group in
        for (index, item) in all.enumerated() {
          group.addTask {
            let result = try await engine.result(item.request)
            return (index, result.sequences[0].tokens.map(\.id))
          }
        }
        return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
      }
      for (index, item) in all.enumerated() {
        #expect(answers[index] == item.expected, "\(item.name)")
      }
    }
  }

  @Test func scoresEqualTheReferenceLogits() async throws {
    let golden = try ProcessorCase(named: "one_image")
    let logits = try TensorFixture("cases/micro/one_image.safetensors").floats("logits")
    let width = 515
    try await MicroModel.withEngine { engine in
      let request = try requests(golden, golden.generation)[0]
      let scores = try await engine.score(ScoreRequest(prompt: request.prompt, top: 5))
      #expect(scores.map(\.id) == golden.inputIds[0])
      for (place, score) in scores.enumerated().dropFirst() {
        let row = Array(logits[((place - 1) * width)..<(place * width)])
        let expected = Double(row[Int(score.id)]) - ScoreMath.logSumExp(row)
        #expect(abs(Double(score.logprob ?? 0) - expected) < 1e-3)
        #expect(score.top.first?.id == row.indices.max { row[$0] < row[$1] }.map { Int32($0) })
      }
    }
  }

  /// Logits and all, bit for bit: the text answers the same with f16 pages in any company.
  @Test func logprobsAreBitIdenticalAloneAndTogether() async throws {
    let golden = try ProcessorCase(named: "three_images_few_shot")
    var request = try requests(golden, golden.generation)[0]
    request.sampling.logprobs = 5
    request.sampling.temperature = 0.9
    request.sampling.seed = 3
    request.count = 3
    let fixed = request
    let alone = try await MicroModel.withEngine(change: { $0.cacheElement = .f16 }) {
      try await $0.result(fixed).sequences
    }
    let together = try await MicroModel.withEngine(
      change: {
        $0.cacheElement = .f16
        $0.tokensPerStep = 19
      }
    ) { engine in
      try await withThrowingTaskGroup(of: [GeneratedSequence].self) { group in
        for _ in 0..<4 { group.addTask { try await engine.result(fixed).sequences } }
        return try await group.reduce(into: []) { $0.append($1) }
      }
    }
    for answer in together { #expect(answer == alone) }
  }

  /// Sixteen examples with images, asked again with another question: only the question is computed.
  @Test func aRepeatedPromptIsBitIdenticalToAColdOne() async throws {
    let names = ["rgb_320x200.png", "rgba.png", "gray_l.png", "rgb_7x5.png"]
    let shots = try (0..<16).flatMap { index -> [PromptPart] in
      let bytes = try Fixture.bytes("images/" + names[index % names.count])
      return [
        .image(.encoded(bytes)), .text("Question: what is number \(index)? Answer: \(index)"),
      ]
    }
    func ask(_ question: String) -> GenerationRequest {
      var request = GenerationRequest(prompt: .interleaved(shots + [.text(question)]))
      request.prompt.insertsEndOfUtterance = false
      request.sampling.maxTokens = 12
      request.sampling.logprobs = 4
      return request
    }
    let cold = try await MicroModel.withEngine {
      try await $0.result(ask("Question: who? Answer:"))
    }
    let warm = try await MicroModel.withEngine { engine in
      _ = try await engine.result(ask("Where?"))
      return try await engine.result(ask("Question: who? Answer:"))
    }
    #expect(warm.sequences == cold.sequences)
    // Four different pictures among the sixteen.
    #expect(cold.prompt.cachedTokens == 0 && cold.receipt.cachedImages == 12)
    #expect(warm.receipt.computedTokens < 40 && warm.receipt.encodeImagesMilliseconds == 0)
    #expect(warm.receipt.computedTokens + warm.prompt.cachedTokens == warm.prompt.tokens.count)
  }

  @Test func filesThatAreNoModelsAreNamed() async throws {
    await #expect(throws: EngineError.noSuchModel(path: "/no/such/file.idfx")) {
      _ = try await Engine.load(from: "/no/such/file.idfx")
    }
    let path = Fixture.url("README.md").path
    do {
      _ = try await Engine.load(from: path)
      Issue.record("a text file was loaded as a model")
    } catch let error as EngineError {
      #expect(error.category == .data && error.description.contains("README.md"))
    }
  }
}
