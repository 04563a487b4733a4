import Foundation
import Idefix
import TestSupport
import Testing
import WeightFiles

/// Answers must not depend on where the weights are.
@Suite(.timeLimit(.minutes(5))) struct MemoryBudgetTests {
  private func options(_ memory: Int?) -> EngineOptions {
    var options = EngineOptions()
    options.threads = 2
    options.contextTokens = 128
    // Several chunks for every prompt.
    options.tokensPerStep = 16
    options.maxSequences = 4
    options.memory = memory
    return options
  }

  /// The least budget of a file, as the refusal of a smaller one states it.
  private func leastBudget(_ path: String) async throws -> Int {
    do {
      _ = try await Engine.load(from: path, options: options(1 << 20))
    } catch EngineError.memoryBudget(let needed, let budget) {
      #expect(budget == 1 << 20)
      return needed
    }
    Issue.record("a budget of 1 MiB was accepted")
    return 0
  }

  private func requests() throws -> [GenerationRequest] {
    let images = try ["rgb_320x200.png", "rgba.png"].map {
      PromptPart.image(.encoded(try Fixture.bytes("images/" + $0)))
    }
    let prompts: [[PromptPart]] = [
      [.text("A picture of a cat and a dog and a house and a tree and two birds")],
      [images[0], .text("What is in this picture? It is a")],
      [.text("First"), images[0], .text("and then"), images[1], .text("so that the answer is")],
      [images[1], .text("Red")],
    ]
    return prompts.map { parts in
      var request = GenerationRequest(prompt: .interleaved(parts))
      request.sampling.maxTokens = 12
      request.sampling.ignoresEOS = true
      request.sampling.logprobs = 2
      return request
    }
  }

  private func answers(_ engine: Engine) async throws -> [[GeneratedSequence]] {
    let requests = try requests()
    return try await withThrowingTaskGroup(of: (Int, [GeneratedSequence]).self) { group in
      for (index, request) in requests.enumerated() {
        group.addTask { (index, try await result(request, engine).sequences) }
      }
      var answers = [[GeneratedSequence]](repeating: [], count: requests.count)
      for try await (index, answer) in group { answers[index] = answer }
      return answers
    }
  }

  private func result(
    _ request: GenerationRequest,
    _ engine: Engine
  ) async throws -> GenerationResult {
    for try await event in engine.generate(request) {
      if case .finished(let result) = event { return result }
    }
    throw CancellationError()
  }

  @Test(arguments: [BlockCodec.zstd, .raw])
  func everyBudgetGivesTheSameAnswers(codec: BlockCodec) async throws {
    try await MicroModel.withFile(recipe: .q8, codec: codec) { path in
      let resident = try await Engine.load(from: path, options: options(nil))
      #expect(!resident.residency.isStreaming)
      let expected = try await answers(resident)
      await resident.shutDown()
      #expect(Set(expected.map { $0[0].tokens.map(\.id) }).count > 1)

      let least = try await leastBudget(path)
      let weights = resident.residency.pinnedBytes + resident.residency.imageBytes
      var streamed: Set<Int> = []
      for share in 0...8 {
        let budget = least + weights * share / 8
        let engine = try await Engine.load(from: path, options: options(budget))
        #expect(try await answers(engine) == expected, "budget \(budget)")
        if engine.residency.isStreaming {
          let forecast = try #require(engine.residency.secondsPerToken)
          #expect(forecast > 0 && forecast < 10)
        }
        streamed.insert(
          engine.residency.streamedBytesPerPass + engine.residency.streamedBytesPerImage
        )
        await engine.shutDown()
      }
      #expect(streamed.count > 4, "the budgets were meant to differ in what is streamed")
      #expect(streamed.contains(0), "the largest budget was meant to hold everything")
      await #expect(throws: EngineError.memoryBudget(needed: least, budget: least - 1)) {
        _ = try await Engine.load(from: path, options: options(least - 1))
      }
    }
  }

  @Test(arguments: [true, false])
  func cancellationLeavesTheStreamInOrder(hasBudget: Bool) async throws {
    try await MicroModel.withFile(recipe: .q8) { path in
      let resident = try await Engine.load(from: path, options: options(nil))
      let expected = try await answers(resident)
      await resident.shutDown()
      let budget = hasBudget ? try await leastBudget(path) : nil
      let engine = try await Engine.load(from: path, options: options(budget))
      for round in 0..<20 {
        let work = Task { try await answers(engine) }
        try await Task.sleep(for: .microseconds(300 * round))
        work.cancel()
        _ = await work.result
      }
      #expect(try await answers(engine) == expected)
      await engine.shutDown()
    }
  }

  /// The bytes of every block of the decoder layers of a file.
  private func decoderBlocks(_ path: String) throws -> [IdfxBlock] {
    try IdfxFile.open(path).tensors
      .filter { $0.name.hasPrefix("model.layers.") && $0.name.contains("proj") }
      .flatMap(\.extents).flatMap(\.blocks)
  }

  private func failure(of engine: Engine, number: Int = 0) async -> EngineError? {
    do {
      var request = try requests()[number]
      request.usesPrefixCache = false
      _ = try await result(request, engine)
      return nil
    } catch {
      return error as? EngineError
    }
  }

  @Test func damageWhileStreamingIsATypedErrorThatTheEngineSurvives() async throws {
    try await MicroModel.withFile(recipe: .q8) { path in
      let budget = try await leastBudget(path)
      let engine = try await Engine.load(from: path, options: options(budget))
      let expected = try await answers(engine)
      let original = try Data(contentsOf: URL(filePath: path))

      var damaged = original
      for block in try decoderBlocks(path) { damaged[block.offset + block.storedBytes / 2] ^= 1 }
      try overwrite(path, damaged)
      guard case .weightsLost(let reason, true) = await failure(of: engine) else {
        Issue.record("damage was not noticed")
        return
      }
      #expect(reason.contains("model.layers.") && reason.contains("checksum"))

      try overwrite(path, original)
      #expect(try await answers(engine) == expected)

      try overwrite(path, original.prefix(1000))
      guard case .weightsLost(_, false) = await failure(of: engine) else {
        Issue.record("truncation was not noticed")
        return
      }
      try overwrite(path, original)
      #expect(try await answers(engine) == expected)
      await engine.shutDown()
    }
  }

  @Test func damageOfAnImagesWeightsIsAnErrorOfThatImage() async throws {
    try await MicroModel.withFile(recipe: .q8) { path in
      let engine = try await Engine.load(from: path, options: options(nil))
      #expect(engine.residency.imageBytes > 0)
      let original = try Data(contentsOf: URL(filePath: path))
      var damaged = original
      let tensor = try #require(
        try IdfxFile.open(path).tensor(named: "model.vision_model.encoder.layers.1.mlp.fc1.weight")
      )
      let block = try #require(tensor.extents.first?.blocks.first)
      damaged[block.offset + block.storedBytes / 2] ^= 1
      try overwrite(path, damaged)

      // What the image's weights are needed for fails, again and again; text goes on.
      let text = try await result(try requests()[0], engine)
      for _ in 0..<2 {
        guard case .weightsLost(let reason, true) = await failure(of: engine, number: 1) else {
          Issue.record("damage was not noticed")
          return
        }
        #expect(reason.contains(tensor.name) && reason.contains("checksum"))
      }
      #expect(try await result(try requests()[0], engine).sequences == text.sequences)

      try overwrite(path, original)
      let answers = try await answers(engine)
      await engine.shutDown()
      let other = try await Engine.load(from: path, options: options(nil))
      #expect(try await self.answers(other) == answers)
      await other.shutDown()
    }
  }

  /// Changes a file's bytes in place, as the open engine sees it.
  private func overwrite(_ path: String, _ bytes: Data) throws {
    let file = try FileHandle(forWritingTo: URL(filePath: path))
    try file.write(contentsOf: bytes)
    try file.truncate(atOffset: UInt64(bytes.count))
    try file.close()
  }
}
