import Foundation
import Idefix
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct PrefixPackTests {
  private func shots(_ count: Int) -> [PromptPart] {
    (0..<count).flatMap { index -> [PromptPart] in
      var generator = SeededGenerator(seed: UInt64(index))
      return [.image(.pixels(generator.normals(12))), .text("Caption: a dog and \(index) cats")]
    }
  }

  private func ask(_ prefix: [PromptPart], tenant: String = "") -> GenerationRequest {
    var request = GenerationRequest(prompt: .interleaved(prefix + [.text("Caption: a")]))
    request.prompt.insertsEndOfUtterance = false
    request.sampling.maxTokens = 10
    request.tenant = tenant
    return request
  }

  private func withPath<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    let path = FileManager.default.temporaryDirectory
      .appending(path: "idefix-\(UUID().uuidString).pack").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
  }

  @Test func aLoadedPrefixIsAsGoodAsAComputedOne() async throws {
    try await withPath { path in
      let prefix = shots(6)
      var prompt = Prompt.interleaved(prefix)
      prompt.insertsEndOfUtterance = false
      let first = try await EchoEngine(pages: 2000)
      let saved = try await first.engine.savePrefix(prompt, to: path)
      #expect(saved.images == 6 && saved.tokens % pageTokens == 0 && saved.tokens > 60)
      let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions]
      #expect(mode as? Int == 0o600)
      // What was saved is not lying around for others.
      #expect(try await first.result(ask(prefix)).prompt.cachedTokens == 0)

      let second = try await EchoEngine(pages: 2000)
      #expect(try await second.engine.loadPrefix(from: path, tenant: "a") == saved)
      let warm = try await second.result(ask(prefix, tenant: "a"))
      let cold = try await second.result(ask(prefix, tenant: "b"))
      #expect(warm.sequences == cold.sequences)
      #expect(warm.prompt.cachedTokens == saved.tokens && cold.prompt.cachedTokens == 0)
      #expect(second.control.encodings.load(ordering: .relaxed) == 6)
      // Twice is no more than once.
      _ = try await second.engine.loadPrefix(from: path, tenant: "a")
      await second.settle()
      #expect(second.engine.metrics.pagesInUse == 0)
    }
  }

  @Test func everyFlippedBitIsNoticed() async throws {
    try await withPath { path in
      let engine = try await EchoEngine(pages: 2000)
      _ = try await engine.engine.savePrefix(.interleaved(shots(1)), to: path)
      let bytes = try [UInt8](Data(contentsOf: URL(filePath: path)))
      let places = Array(0..<60) + stride(from: 60, to: bytes.count, by: 97) + [bytes.count - 1]
      for place in places {
        var damaged = bytes
        damaged[place] ^= 1 << UInt8(place % 8)
        try Data(damaged).write(to: URL(filePath: path))
        await #expect(throws: EngineError.self) {
          _ = try await engine.engine.loadPrefix(from: path)
        }
      }
      for length in [0, 7, 8, 12, 43, 44, bytes.count - 1] {
        try Data(bytes.prefix(length)).write(to: URL(filePath: path))
        await #expect(throws: EngineError.self) {
          _ = try await engine.engine.loadPrefix(from: path)
        }
      }
      await engine.settle()
      #expect(engine.engine.metrics.pagesInUse == 0)
    }
  }

  @Test func packsOfAnotherModelAreRefused() async throws {
    let identity = PrefixPack.Identity(
      fingerprint: "a",
      element: "f16",
      layers: 1,
      imagePages: 1,
      pageBytes: 4
    )
    let pack = PrefixPack(
      identity: identity,
      tokens: Array(0..<16),
      attendedImages: Array(repeating: 0, count: 16),
      images: [.digest(pixels: [1], side: 1)]
    )
    let json = try pack.encoded()
    #expect(try PrefixPack(json: json, expecting: identity) == pack)
    for change: (inout PrefixPack.Identity) -> Void in [
      { $0.fingerprint = "b" }, { $0.numerics += 1 }, { $0.element = "f32" }, { $0.layers = 2 },
      { $0.pageBytes = 8 },
    ] {
      var other = identity
      change(&other)
      #expect(throws: EngineError.self) { _ = try PrefixPack(json: json, expecting: other) }
    }
    // Whole, but its parts contradict each other.
    for change: (inout PrefixPack) -> Void in [
      { $0.tokens.removeLast() }, { $0.attendedImages.removeLast() }, { $0.attendedImages[3] = 1 },
      { $0.attendedImages[3] = -2 },
    ] {
      var other = pack
      change(&other)
      let json = try other.encoded()
      #expect(throws: EngineError.self) { _ = try PrefixPack(json: json, expecting: identity) }
    }
  }

  /// A pack that cannot be written leaves neither itself nor a part of it.
  @Test func aPackThatCannotBeWrittenLeavesNothing() async throws {
    try await withPath { path in
      let engine = try await EchoEngine(pages: 2000)
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
      await #expect(throws: (any Error).self) {
        _ = try await engine.engine.savePrefix(.interleaved(shots(1)), to: path)
      }
      #expect(!FileManager.default.fileExists(atPath: path + ".partial"))
      await engine.settle()
      #expect(engine.engine.metrics.pagesInUse == 0)
    }
  }

  @Test func aPackThatDoesNotFitIsRefusedWhole() async throws {
    try await withPath { path in
      let roomy = try await EchoEngine(pages: 2000)
      _ = try await roomy.engine.savePrefix(.interleaved(shots(6)), to: path)
      let small = try await EchoEngine(pages: 20)
      await #expect(throws: EngineError.self) { _ = try await small.engine.loadPrefix(from: path) }
      await small.settle()
      #expect(small.engine.metrics.pagesInUse == 0)
      await #expect(throws: (any Error).self) {
        _ = try await small.engine.loadPrefix(from: path + ".no")
      }
    }
  }
}

@Suite(.timeLimit(.minutes(1))) struct ChatSessionTests {
  @Test func turnsAreRememberedAndTakenBack() async throws {
    let engine = try await EchoEngine(pages: 2000)
    var sampling = SamplingOptions()
    sampling.maxTokens = 6
    let session = ChatSession(engine: engine.engine, system: "Be brief.", sampling: sampling)
    func ask(_ text: String) async throws -> GenerationResult? {
      var last: GenerationResult?
      for try await event in await session.send([.text(text)]) {
        if case .finished(let result) = event { last = result }
      }
      return last
    }
    let first = try #require(try await ask("A long question about a dog and a cat?"))
    let second = try #require(try await ask("And then?"))
    #expect(second.prompt.tokens.count > first.prompt.tokens.count)
    #expect(second.prompt.cachedTokens >= (first.prompt.tokens.count - 4) / pageTokens * pageTokens)
    let roles = await session.messages.map(\.role)
    #expect(roles == [.system, .user, .assistant, .user, .assistant])
    #expect(await session.undo())
    #expect(await session.messages.count == 3)
    // A turn that is broken off leaves no trace.
    engine.control.layerMicroseconds.store(20_000, ordering: .relaxed)
    for try await _ in await session.send([.text("x")]) { break }
    #expect(await session.messages.count == 3)
    await session.clear()
    #expect(await session.messages.count == 1)
    #expect(await session.undo() == false)
  }
}

@Suite(.timeLimit(.minutes(2))) struct PacingTests {
  /// A stream keeps its rhythm while a long prompt is worked on.
  @Test func aLongPromptDoesNotStallAStream() async throws {
    // Other tests may take the processor away at any time, so the best of a few attempts counts.
    var best = Double.infinity
    for attempt in 0..<10 where best > 2 {
      let engine = try await EchoEngine(pages: 4000, tokensPerStep: 512, contextTokens: 2048)
      engine.control.layerMicroseconds.store(2000, ordering: .relaxed)
      engine.control.tokenMicroseconds.store(100, ordering: .relaxed)
      var stream = GenerationRequest(prompt: .interleaved([.text("attempt \(attempt)")]))
      stream.sampling.maxTokens = 120
      stream.sampling.ignoresEOS = true
      stream.speculates = false
      var long = GenerationRequest(prompt: Prompt(.tokens(Array(repeating: 300, count: 1500))))
      long.sampling.maxTokens = 1
      let second = long
      var gaps: [Double] = []
      var last = ContinuousClock.now
      var admitted: Task<Void, any Error>?
      for try await event in engine.engine.generate(stream) {
        guard case .token(let token) = event else { continue }
        if token.index > 0 { gaps.append((ContinuousClock.now - last).milliseconds) }
        last = .now
        if token.index == 20 { admitted = Task { _ = try await engine.result(second) } }
      }
      try await admitted?.value
      gaps.sort()
      let quiet = gaps[gaps.count / 2]
      best = min(best, gaps[gaps.count * 99 / 100] / quiet)
      await engine.engine.shutDown()
    }
    #expect(best <= 2)
  }
}
