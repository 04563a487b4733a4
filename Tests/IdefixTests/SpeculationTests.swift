import Idefix
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct SpeculationTests {
  private func request(tokens: Int, speculates: Bool) -> GenerationRequest {
    var request = GenerationRequest(prompt: .interleaved([.text("a dog and a cat and a dog")]))
    request.sampling.maxTokens = tokens
    request.sampling.ignoresEOS = true
    request.sampling.logprobs = 2
    request.speculates = speculates
    return request
  }

  @Test(arguments: [0.0, 0.7]) func draftsSaveStepsAndNeverChangeAnAnswer(
    temperature: Double
  ) async throws {
    let engine = try await EchoEngine()
    engine.control.isPeriodic.store(true, ordering: .relaxed)
    engine.control.layerMicroseconds.store(300, ordering: .relaxed)
    func run(_ speculates: Bool) async throws -> (answer: GenerationResult, steps: Int) {
      var request = request(tokens: 90, speculates: speculates)
      request.sampling.temperature = temperature
      request.sampling.seed = 5
      let before = engine.control.steps.load(ordering: .relaxed)
      let result = try await engine.result(request)
      return (result, engine.control.steps.load(ordering: .relaxed) - before)
    }
    let plain = try await run(false)
    let drafted = try await run(true)
    #expect(drafted.answer.sequences == plain.answer.sequences)
    #expect(plain.answer.receipt.draftedTokens == 0)
    #expect(drafted.answer.receipt.acceptedTokens > 0)
    #expect(drafted.steps < plain.steps)
  }

  /// Text that never goes on as it did before: what drafts waste stays within the allowance.
  @Test(arguments: [0.02, 0.1, 0.5, 1.0]) func wasteIsBounded(share: Double) {
    var drafter = Drafter(prompt: [])
    var generator = SeededGenerator(seed: 2)
    var wasted = 0.0
    let steps = 2000
    for step in 0..<steps {
      // The same context again and again, each time followed by something new.
      for token in [7, 8, 9] as [Int32] { drafter.append(token) }
      let draft = drafter.draft(limit: 8, tokenShare: share)
      wasted += Double(draft.count) * share
      drafter.record(drafted: draft.count, accepted: 0, tokenShare: share)
      drafter.append(Int32(100 + step % 400) + Int32.random(in: 0..<3, using: &generator))
    }
    // The first drafts are made in good faith.
    #expect(wasted <= Drafter.allowance * Double(steps) + 10 * share)
  }

  @Test func draftsStayWithinTheirLimits() {
    var drafter = Drafter(prompt: [])
    #expect(drafter.draft(limit: 8, tokenShare: 0.01).isEmpty)
    for _ in 0..<3 { for token in Int32(0)..<9 { drafter.append(token) } }
    #expect(drafter.draft(limit: 0, tokenShare: 0.01).isEmpty)
    #expect(drafter.draft(limit: 3, tokenShare: 0.01) == [0, 1, 2])
    for _ in 0..<20 { drafter.record(drafted: 8, accepted: 8, tokenShare: 0.01) }
    #expect(drafter.draft(limit: 100, tokenShare: 0.01) == Array(0..<8))
  }

  /// A draft may be longer than what is repeated.
  @Test(arguments: [[4], [5, 6], [1, 2, 3, 4, 5]] as [[Int32]])
  func shortRepetitionsGoOn(period: [Int32]) {
    var drafter = Drafter(prompt: [])
    for _ in 0..<6 { for token in period { drafter.append(token) } }
    for _ in 0..<20 { drafter.record(drafted: 8, accepted: 8, tokenShare: 0.01) }
    #expect(
      drafter.draft(limit: 100, tokenShare: 0.01) == (0..<8).map { period[$0 % period.count] }
    )
    #expect(drafter.draft(limit: 3, tokenShare: 0.01).count == 3)
  }
}
