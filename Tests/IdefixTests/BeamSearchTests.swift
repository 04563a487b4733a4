import Idefix
import TestSupport
import Testing

/// Beam search against the plain algorithm, which scores every continuation of every beam anew.
@Suite(.timeLimit(.minutes(2))) struct BeamSearchTests {
  private struct Beam {
    var tokens: [Int32]
    var sum: Double
  }

  private let prompt: [Int32] = [1, 300, 301, 302, 303, 304, 305]
  private let barred: Set<Int32> = [512, 513]
  private let ends: Set<Int32> = [2, 514]

  /// Log-probabilities of the token after `tokens`.
  private func distribution(_ engine: Engine, after tokens: [Int32]) async throws -> [Float] {
    var request = ScoreRequest(prompt: Prompt(.tokens(tokens + [300])))
    request.reportsDistributions = true
    request.scoredFrom = tokens.count
    return try #require(try await engine.score(request).last).distribution
  }

  private func plainSearch(
    _ engine: Engine,
    width: Int,
    lengthPenalty: Double,
    maxTokens: Int
  ) async throws -> [(tokens: [Int32], score: Double)] {
    var beams = [Beam(tokens: [], sum: 0)]
    var done: [(tokens: [Int32], score: Double)] = []
    func complete(_ beam: Beam) {
      let length = ScoreMath.exp(lengthPenalty * ScoreMath.log(Double(beam.tokens.count)))
      done.append((beam.tokens, beam.sum / length))
      done.sort { $0.score > $1.score }
      done = Array(done.prefix(width))
    }
    for length in 1...maxTokens {
      var candidates: [Beam] = []
      for beam in beams {
        let scores = try await distribution(engine, after: prompt + beam.tokens)
        for (id, score) in scores.enumerated() where !barred.contains(Int32(id)) {
          candidates.append(Beam(tokens: beam.tokens + [Int32(id)], sum: beam.sum + Double(score)))
        }
      }
      candidates.sort { $0.sum > $1.sum }
      beams = []
      for (rank, candidate) in candidates.prefix(2 * width).enumerated() {
        if ends.contains(candidate.tokens.last ?? 0) {
          if rank < width { complete(candidate) }
        } else if beams.count < width {
          beams.append(candidate)
        }
      }
      let attainable =
        candidates[0].sum / ScoreMath.exp(lengthPenalty * ScoreMath.log(Double(length)))
      if done.count == width, let worst = done.last, worst.score >= attainable { return done }
    }
    for beam in beams { complete(beam) }
    return done
  }

  @Test(arguments: [(1, 1.0, 6), (3, 1.0, 8), (3, 0.0, 8), (4, 2.0, 5), (2, -1.0, 6)])
  func beamsEqualThePlainAlgorithm(width: Int, lengthPenalty: Double, maxTokens: Int) async throws {
    let engine = try await EchoEngine(pages: 900)
    engine.control.favoursEnds.store(true, ordering: .relaxed)
    var request = GenerationRequest(prompt: Prompt(.tokens(prompt)))
    request.beams = BeamOptions(width: width, lengthPenalty: lengthPenalty)
    request.count = width
    request.sampling.maxTokens = maxTokens
    let expected = try await plainSearch(
      engine.engine,
      width: width,
      lengthPenalty: lengthPenalty,
      maxTokens: maxTokens
    )
    let result = try await engine.result(request)
    #expect(result.sequences.map { $0.tokens.map(\.id) } == expected.map(\.tokens))
    for (answer, plain) in zip(result.sequences, expected) {
      #expect(abs(Double(answer.score) - plain.score) < 1e-4)
      #expect(answer.finishReason == (ends.contains(plain.tokens.last ?? 0) ? .eos : .length))
    }
    #expect(result.sequences.map(\.index) == Array(0..<result.sequences.count))
    await engine.settle()
    #expect(engine.engine.metrics.pagesInUse == 0)
  }

  @Test func oneBeamIsGreedy() async throws {
    let engine = try await EchoEngine()
    var request = GenerationRequest(prompt: Prompt(.tokens(prompt)))
    request.sampling.maxTokens = 10
    let greedy = try await engine.result(request)
    request.beams = BeamOptions(width: 1)
    let beam = try await engine.result(request)
    #expect(beam.sequences[0].tokens.map(\.id) == greedy.sequences[0].tokens.map(\.id))
    #expect(beam.sequences[0].text == greedy.sequences[0].text)
  }

  /// Beams survive being thrown out for want of pages.
  @Test func beamsAreTheSameInATightPool() async throws {
    let requests = (Int32(0)..<4).map { seed in
      var request = GenerationRequest(prompt: Prompt(.tokens(prompt + [300 + seed])))
      request.beams = BeamOptions(width: 4)
      request.count = 4
      request.sampling.maxTokens = 24
      request.sampling.ignoresEOS = true
      return request
    }
    let roomy = try await EchoEngine(pages: 2000)
    let tight = try await EchoEngine(pages: 48)
    let results = try await tight.together(requests)
    for (request, result) in zip(requests, results) {
      let expected = try await roomy.result(request)
      #expect(result.sequences.map(\.tokens) == expected.sequences.map(\.tokens))
    }
    await tight.settle()
    #expect(tight.engine.metrics.preemptions > 0 && tight.engine.metrics.pagesInUse == 0)
  }

  @Test func impossibleBeamsAreRefused() async throws {
    let engine = try await EchoEngine { $0.maxSequences = 4 }
    func refused(_ change: (inout GenerationRequest) -> Void) async -> Bool {
      var request = GenerationRequest(prompt: Prompt(.tokens(prompt)))
      request.beams = BeamOptions(width: 2)
      change(&request)
      do {
        _ = try await engine.result(request)
        return false
      } catch { return (error as? EngineError)?.category == .request }
    }
    #expect(await refused { $0.beams = BeamOptions(width: 0) })
    #expect(await refused { $0.beams = BeamOptions(width: 5) })
    #expect(await refused { $0.count = 3 })
    #expect(await refused { $0.sampling.temperature = 1 })
    #expect(await refused { $0.beams = BeamOptions(width: 2, lengthPenalty: .nan) })
  }
}
