import Foundation
import Idefix
import TestSupport
import Testing

/// What must be true of any engine, tested on a model that notices every wrong page.
@Suite(.timeLimit(.minutes(2))) struct EngineBatchingTests {
  private func image(_ seed: UInt64) -> PromptPart {
    var generator = SeededGenerator(seed: seed)
    return .image(.pixels(generator.normals(12)))
  }

  /// A request that differs with `seed` in prompt, images and sampling.
  private func request(_ seed: UInt64) -> GenerationRequest {
    var generator = SeededGenerator(seed: seed)
    let words = ["dog", "cat", "a", "picture of", "the", "house", "and", "then"]
    var parts: [PromptPart] = []
    for _ in 0..<Int.random(in: 1...5, using: &generator) {
      let count = Int.random(in: 1...14, using: &generator)
      parts.append(
        .text(
          (0..<count).map { _ in words.randomElement(using: &generator) ?? "" }
            .joined(separator: " ")
        )
      )
      if Bool.random(using: &generator) {
        parts.append(image(UInt64.random(in: 0..<4, using: &generator)))
      }
    }
    var request = GenerationRequest(prompt: .interleaved(parts))
    request.sampling.maxTokens = Int.random(in: 1...24, using: &generator)
    request.sampling.ignoresEOS = Bool.random(using: &generator)
    if Bool.random(using: &generator) {
      request.sampling.temperature = 0.8
      request.sampling.topP = 0.9
      request.sampling.seed = seed
    }
    request.count = Int.random(in: 1...3, using: &generator)
    return request
  }

  /// What an answer consists of; costs differ from run to run.
  private func essence(_ result: GenerationResult) -> [GeneratedSequence] { result.sequences }

  private func alone(_ seeds: Range<UInt64>) async throws -> [[GeneratedSequence]] {
    var results: [[GeneratedSequence]] = []
    for seed in seeds {
      // A fresh engine each: nothing cached, nobody else there, the whole prompt in one step.
      let engine = try await EchoEngine(pages: 2000, tokensPerStep: 512)
      var request = request(seed)
      request.usesPrefixCache = false
      request.speculates = false
      results.append(essence(try await engine.result(request)))
      await engine.engine.shutDown()
    }
    return results
  }

  @Test(arguments: [(600, 64, 16), (600, 20, 3), (150, 64, 16), (90, 16, 8)])
  func answersAreTheSameInAnyBatch(pages: Int, tokensPerStep: Int, maxSequences: Int) async throws {
    let seeds: Range<UInt64> = 100..<124
    let expected = try await alone(seeds)
    let engine = try await EchoEngine(pages: pages, tokensPerStep: tokensPerStep) {
      $0.maxSequences = maxSequences
    }
    let results = try await engine.together(seeds.map(request)).map(essence)
    for index in expected.indices {
      #expect(results[index] == expected[index], "seed \(seeds.lowerBound + UInt64(index))")
    }
    await engine.settle()
    let metrics = engine.engine.metrics
    #expect(metrics.running == 0 && metrics.waiting == 0 && metrics.pagesInUse == 0)
    #expect(engine.control.largestBatch.load(ordering: .relaxed) > 1)
    await engine.engine.shutDown()
  }

  /// Six prompts fit into the pool together and their answers do not: somebody has to give way.
  @Test func answersAreTheSameAfterPreemption() async throws {
    func question(_ index: Int) -> GenerationRequest {
      let prompt = [image(1), PromptPart.text("question \(index)")]
      var request = GenerationRequest(prompt: .interleaved(prompt))
      request.sampling.maxTokens = 40
      request.sampling.ignoresEOS = true
      request.count = 2
      return request
    }
    let roomy = try await EchoEngine(pages: 2000)
    let tight = try await EchoEngine(pages: 90, tokensPerStep: 256)
    // The image is known, so that all prompts are computed in one step.
    _ = try await tight.result(GenerationRequest(prompt: .interleaved([image(1)]), sampling: short))
    let results = try await tight.together((0..<6).map(question))
    for (index, result) in results.enumerated() {
      #expect(essence(result) == essence(try await roomy.result(question(index))))
    }
    await tight.settle()
    #expect(tight.engine.metrics.preemptions > 0 && tight.engine.metrics.pagesInUse == 0)
  }

  @Test func aRepeatedPrefixIsNotComputedAgain() async throws {
    let shots = (0..<16).flatMap {
      [image(UInt64($0)), PromptPart.text("Caption: a dog and a cat")]
    }
    func ask(_ question: String) -> GenerationRequest {
      var request = GenerationRequest(prompt: .interleaved(shots + [.text(question)]))
      request.prompt.insertsEndOfUtterance = false
      request.sampling.maxTokens = 12
      return request
    }
    let cold = try await EchoEngine(pages: 3000)
    let expected = try await cold.result(ask("What is the second?"))
    let warm = try await EchoEngine(pages: 3000)
    _ = try await warm.result(ask("Who?"))
    let encodings = warm.control.encodings.load(ordering: .relaxed)
    let result = try await warm.result(ask("What is the second?"))
    #expect(result.sequences == expected.sequences)
    #expect(result.prompt.cachedTokens > result.prompt.tokens.count - 40)
    #expect(
      result.receipt.computedTokens + result.prompt.cachedTokens == result.prompt.tokens.count
    )
    #expect(warm.control.encodings.load(ordering: .relaxed) == encodings)
    // Another tenant must not profit.
    var foreign = ask("What is the second?")
    foreign.tenant = "other"
    let other = try await warm.result(foreign)
    #expect(other.sequences == expected.sequences && other.prompt.cachedTokens == 0)
    #expect(warm.control.encodings.load(ordering: .relaxed) == 2 * encodings)
  }

  @Test func oneImageInManyRequestsIsEncodedOnce() async throws {
    let engine = try await EchoEngine(pages: 3000)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for index in 0..<8 {
        group.addTask {
          var request = GenerationRequest(
            prompt: .interleaved([image(1), .text("question \(index)")])
          )
          request.sampling.maxTokens = 3
          _ = try await engine.result(request)
        }
      }
      try await group.waitForAll()
    }
    #expect(engine.control.encodings.load(ordering: .relaxed) == 1)
  }

  /// Streams end at every phase; nothing may stay behind and nobody else may notice.
  @Test func cancellationLeavesNothingBehind() async throws {
    let expected = try await alone(200..<201)[0]
    let engine = try await EchoEngine(pages: 400, tokensPerStep: 24) { $0.maxSequences = 6 }
    engine.control.layerMicroseconds.store(150, ordering: .relaxed)
    for round in UInt64(0)..<50 {
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          let answer = essence(try await engine.result(request(200)))
          #expect(answer == expected)
        }
        for other in 0..<4 as Range<UInt64> {
          group.addTask {
            var generator = SeededGenerator(seed: round * 4 + other)
            let after = Int.random(in: 0...12, using: &generator)
            var seen = 0
            for try await _ in engine.engine.generate(request(300 + round * 4 + other)) {
              seen += 1
              if seen > after { break }
            }
          }
        }
        try await group.waitForAll()
      }
    }
    await engine.settle()
    let metrics = engine.engine.metrics
    #expect(metrics.pagesInUse == 0 && metrics.running == 0 && metrics.waiting == 0)
    #expect(metrics.cancelled > 0 && metrics.failed == 0)
    await engine.engine.shutDown()
  }

  @Test func requestsThatCannotBeAnsweredAreRefused() async throws {
    let engine = try await EchoEngine(pages: 30, contextTokens: 200) { $0.maxImages = 2 }
    func error(_ change: (inout GenerationRequest) -> Void) async -> EngineError? {
      var request = GenerationRequest(prompt: .interleaved([.text("hello")]))
      change(&request)
      do {
        _ = try await engine.result(request)
        return nil
      } catch { return error as? EngineError }
    }
    let long = String(repeating: "a dog ", count: 300)
    #expect(await error { $0.sampling.temperature = -1 }?.category == .request)
    #expect(await error { $0.prompt = .interleaved([.text(long)]) }?.category == .request)
    #expect(
      await error { $0.prompt = .interleaved([image(1), image(2), image(3)]) }
        == .tooManyImages(count: 3, limit: 2)
    )
    #expect(
      await error { $0.prompt = .interleaved([.image(.encoded([1, 2, 3]))]) }?.category == .data
    )
    #expect(await error { $0.sampling.maxTokens = 1000 }?.category == .request)
    #expect(await error { $0.count = 17 }?.category == .request)
    // 30 pages hold 10 blocks of this model: 160 tokens.
    var prompt = Prompt(.tokens(Array(repeating: 300, count: 170)))
    #expect(await error { $0.prompt = prompt } == .outOfPages(needed: 33, available: 30))
    prompt = Prompt(.tokens(Array(repeating: 300, count: 100)))
    #expect(
      await error {
        $0.prompt = prompt; $0.sampling.maxTokens = 5
      } == nil
    )
    await engine.engine.shutDown()
    #expect(await error { _ in } == .shutDown)
  }

  @Test func aFullEngineRefusesAndRecovers() async throws {
    let engine = try await EchoEngine {
      $0.maxSequences = 1
      $0.maxWaiting = 1
    }
    engine.control.layerMicroseconds.store(2000, ordering: .relaxed)
    let streams = (0..<3).map { engine.engine.generate(request(UInt64($0))) }
    var refused = 0
    for stream in streams {
      do { for try await _ in stream {} } catch EngineError.overloaded { refused += 1 }
    }
    #expect(refused == 1)
    _ = try await engine.result(request(9))
  }

  /// Refused and abandoned requests must not use up places.
  @Test func requestsThatNeverRanLeaveNoTrace() async throws {
    let engine = try await EchoEngine {
      $0.maxSequences = 2
      $0.maxWaiting = 2
    }
    for round in 0..<100 {
      var bad = request(1)
      bad.sampling.temperature = -1
      await #expect(throws: EngineError.self) { _ = try await engine.result(bad) }
      // Given up before anything could be heard of it.
      _ = engine.engine.generate(request(UInt64(round)))
      await engine.settle()
    }
    _ = try await engine.result(request(2))
    await engine.settle()
    #expect(engine.engine.metrics.running == 0 && engine.engine.metrics.pagesInUse == 0)
  }

  @Test func shuttingDownEndsEveryStream() async throws {
    let engine = try await EchoEngine()
    engine.control.layerMicroseconds.store(1000, ordering: .relaxed)
    let streams = (0..<5).map { engine.engine.generate(request(UInt64($0))) }
    await engine.engine.shutDown()
    for stream in streams {
      await #expect(throws: EngineError.shutDown) { for try await _ in stream {} }
    }
  }

  @Test func eventsComeInOrderAndAddUp() async throws {
    let engine = try await EchoEngine(tokensPerStep: 8)
    var request = GenerationRequest(
      prompt: .interleaved([image(1), .text("What is this, and what is that?"), image(2)])
    )
    request.sampling.maxTokens = 6
    request.sampling.ignoresEOS = true
    request.sampling.logprobs = 2
    request.promptLogprobs = 1
    var order: [String] = []
    var text = ""
    var info: PromptInfo?
    for try await event in engine.engine.generate(request) {
      switch event {
      case .started(let prompt):
        order.append("started")
        info = prompt
      case .progress(.images(let done, let total)):
        order.append("image")
        #expect(done <= total && total == 2)
      case .progress(.prefill): order.append("prefill")
      case .promptScored(let scores):
        order.append("scored")
        #expect(scores.map(\.id) == info?.tokens)
        #expect(scores.first?.logprob == nil && scores.dropFirst().allSatisfy { $0.logprob != nil })
        #expect(scores.dropFirst().allSatisfy { $0.top.count == 1 })
      case .token(let token):
        order.append("token")
        text += token.text
        #expect(token.top.count == 2 && token.top[0].id == token.id)
        #expect((token.finishReason != nil) == (token.index == 5))
      case .finished(let result):
        order.append("finished")
        #expect(result.sequences[0].text == text && result.sequences[0].finishReason == .length)
        #expect(result.sequences[0].tokens.count == 6)
      }
    }
    #expect(order.first == "started" && order.last == "finished")
    #expect(order.filter { $0 == "image" }.count == 2 && order.filter { $0 == "token" }.count == 6)
    let scored = try #require(order.firstIndex(of: "scored"))
    #expect(order[..<scored].contains("prefill") && order[(scored + 1)...].first == "token")
  }

  @Test func theReceiptSumsToTheWallTime() async throws {
    let engine = try await EchoEngine(tokensPerStep: 16)
    engine.control.layerMicroseconds.store(1000, ordering: .relaxed)
    // The caller may be woken late on a busy machine, so the best of a few attempts counts.
    var best = 0.0
    for seed in UInt64(5)..<15 where best < 0.98 {
      var request = request(seed)
      request.sampling.maxTokens = 40
      request.sampling.ignoresEOS = true
      request.usesPrefixCache = false
      let start = ContinuousClock.now
      let result = try await engine.result(request)
      let wall = (ContinuousClock.now - start).milliseconds
      #expect(result.receipt.totalMilliseconds <= wall)
      #expect(
        result.receipt.generatedTokens == result.sequences.reduce(0) { $0 + $1.tokens.count }
      )
      best = max(best, result.receipt.totalMilliseconds / wall)
    }
    #expect(best >= 0.98)
  }

  @Test func theReceiptTellsPhasesApart() async throws {
    let engine = try await EchoEngine(tokensPerStep: 16)
    engine.control.layerMicroseconds.store(2000, ordering: .relaxed)
    let file = PromptPart.image(.encoded(try Fixture.bytes("images/photo_q75_420.jpg")))
    func receipt(_ text: String) async throws -> CostReceipt {
      var request = GenerationRequest(prompt: .interleaved([file, .text(text)]))
      request.sampling.maxTokens = 20
      request.sampling.ignoresEOS = true
      return try await engine.result(request).receipt
    }
    let cold = try await receipt("What is this?")
    for stage in [cold.vision, cold.resampler, cold.crossKeysValues] {
      #expect(stage.milliseconds >= 2)
    }
    // Three layers, and twenty states in two pages of two cross blocks; 2 × 2 pixels of three colours.
    #expect(cold.prefill.milliseconds >= 6 && cold.decode.milliseconds >= 6 * 19)
    #expect(cold.vision.bytes == 100 && cold.resampler.bytes == 100)
    #expect(cold.crossKeysValues.bytes == 2 * 2 * 8 * pageTokens)
    #expect(cold.decodeImages.bytes == 48 && cold.cachedImages == 0)
    let warm = try await receipt("And now?")
    #expect(warm.decodeImages.bytes == 0 && warm.cachedImages == 1)
    #expect(warm.encodeImagesMilliseconds == 0 && warm.crossKeysValues.bytes == 0)
  }

  /// Alone in a pool that is too small for the whole answer.
  @Test func anAnswerEndsWhereThePagesEnd() async throws {
    let engine = try await EchoEngine(pages: 9, contextTokens: 200)
    var request = GenerationRequest(prompt: Prompt(.tokens(Array(300..<330))))
    request.sampling.ignoresEOS = true
    let result = try await engine.result(request)
    // Three blocks hold 48 tokens; the last token drawn needs no place.
    #expect(result.sequences[0].tokens.count == 19)
    #expect(result.sequences[0].finishReason == .length)
  }

  @Test func scoresDoNotDependOnTheCache() async throws {
    let prompt = Prompt.interleaved([image(1), .text("one dog, one cat and then a house")])
    let engine = try await EchoEngine(tokensPerStep: 7)
    let whole = try await engine.engine.score(ScoreRequest(prompt: prompt, top: 3))
    _ = try await engine.result(GenerationRequest(prompt: prompt, sampling: short))
    #expect(try await engine.engine.score(ScoreRequest(prompt: prompt, top: 3)) == whole)
    var late = ScoreRequest(prompt: prompt, top: 3)
    late.scoredFrom = whole.count - 3
    late.reportsDistributions = true
    let tail = try await engine.engine.score(late)
    #expect(tail.suffix(3).map(\.logprob) == whole.suffix(3).map(\.logprob))
    #expect(tail.prefix(whole.count - 3).allSatisfy { $0.logprob == nil })
    for token in tail.suffix(3) {
      #expect(token.distribution.count == 515)
      #expect(token.distribution[Int(token.id)] == token.logprob)
    }
  }

  private var short: SamplingOptions {
    var sampling = SamplingOptions()
    sampling.maxTokens = 2
    return sampling
  }
}

extension EchoEngine {
  /// Waits until the engine has taken `count` requests in.
  func arrive(_ count: Int) async throws {
    while engine.metrics.requests < count { try await Task.sleep(for: .milliseconds(1)) }
  }

  /// The results of requests that all arrive during a pass over another one: what becomes of them does not depend on when
  /// their tasks run.
  func together(_ requests: [GenerationRequest]) async throws -> [GenerationResult] {
    let known = (requests: engine.metrics.requests, steps: control.steps.load(ordering: .relaxed))
    control.isHeld.store(true, ordering: .relaxed)
    defer { control.isHeld.store(false, ordering: .relaxed) }
    var sampling = SamplingOptions()
    sampling.maxTokens = 1
    async let other = result(
      GenerationRequest(prompt: Prompt(.tokens([1])), sampling: sampling)
    )
    while control.steps.load(ordering: .relaxed) == known.steps {
      try await Task.sleep(for: .milliseconds(1))
    }
    let results = try await withThrowingTaskGroup(of: (Int, GenerationResult).self) { group in
      for (index, request) in requests.enumerated() {
        group.addTask { (index, try await result(request)) }
      }
      try await arrive(known.requests + 1 + requests.count)
      control.isHeld.store(false, ordering: .relaxed)
      return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
    }
    _ = try await other
    return requests.indices.compactMap { results[$0] }
  }

  /// Waits until the engine thread has dealt with everything.
  func settle() async {
    for _ in 0..<500 where engine.metrics.pagesInUse > 0 || engine.metrics.running > 0 {
      try? await Task.sleep(for: .milliseconds(2))
    }
  }
}
