import Foundation
import Idefix
import TestSupport
import Testing

/// The rules that the scheduler states: first come, first served; every running stream gets its token in every step;
/// who gives pages up is the youngest.
@Suite(.timeLimit(.minutes(2))) struct FairnessTests {
  private func request(_ text: String, tokens: Int) -> GenerationRequest {
    var request = GenerationRequest(prompt: .interleaved([.text(text)]))
    request.sampling.maxTokens = tokens
    request.sampling.ignoresEOS = true
    request.speculates = false
    return request
  }

  /// An engine whose steps take long until everybody is there, however busy the machine.
  private func slowEngine(pages: Int) async throws -> EchoEngine {
    let engine = try await EchoEngine(pages: pages, tokensPerStep: 256)
    engine.control.layerMicroseconds.store(20_000, ordering: .relaxed)
    return engine
  }

  /// A small request that would fit at once must wait behind a large one that does not.
  @Test func nobodyIsPassedInTheQueue() async throws {
    // 120 pages are 40 blocks of 16 tokens.
    let engine = try await slowEngine(pages: 120)
    async let first = engine.result(
      request(String(repeating: "dog ", count: 120), tokens: 150)
    )
    try await engine.arrive(1)
    async let large = engine.result(
      request(String(repeating: "cat ", count: 200), tokens: 2)
    )
    try await engine.arrive(2)
    async let small = engine.result(request("a", tokens: 2))
    try await engine.arrive(3)
    engine.control.layerMicroseconds.store(1000, ordering: .relaxed)
    let receipts = try await [first.receipt, large.receipt, small.receipt]
    // The first still has most of its 150 steps of 3 layers of 1 ms before it.
    #expect(receipts[1].queue.milliseconds >= 150, "the large one was meant not to fit")
    #expect(receipts[2].queue.milliseconds >= 150, "the small one passed the large one")
    await engine.engine.shutDown()
  }

  @Test func everyStreamGetsATokenInEveryStep() async throws {
    let engine = try await EchoEngine(pages: 2000, tokensPerStep: 256) { $0.maxSequences = 8 }
    _ = try await engine.together((0..<8).map { request("stream \($0)", tokens: 60) })
    // One after another they would take 480 steps; together 60, and one before they came.
    #expect(engine.control.steps.load(ordering: .relaxed) == 61)
    await engine.engine.shutDown()
  }

  /// Of streams that outgrow the pool the oldest never gives way, and time without pages is time in the queue.
  @Test func theYoungestGivesWayAndWaits() async throws {
    let engine = try await slowEngine(pages: 48)
    async let old = engine.result(request("the oldest", tokens: 150))
    try await engine.arrive(1)
    let start = ContinuousClock.now
    async let second = engine.result(request("the youngest of them", tokens: 150))
    try await engine.arrive(2)
    engine.control.layerMicroseconds.store(500, ordering: .relaxed)
    let young = try await second
    let wall = (ContinuousClock.now - start).milliseconds
    #expect(try await old.receipt.preemptions == 0)
    #expect(young.receipt.preemptions > 0)
    #expect(young.sequences[0].tokens.count == 150)
    // Until the oldest has ended: dozens of steps of 1.5 ms.
    #expect(young.receipt.queue.milliseconds >= 20)
    #expect(young.receipt.totalMilliseconds <= wall)
    await engine.engine.shutDown()
  }
}
