import Foundation
import Idefix
import Synchronization
import TestSupport
import Testing
import WeightFiles

/// A request can end at any time; nothing of it may stay behind, and it must end soon.
@Suite(.timeLimit(.minutes(2))) struct CancellationTests {
  enum Phase: CaseIterable { case imageDecode, queue, vision, prefill, decode }

  private func pixels(_ seed: UInt64) -> PromptPart {
    var generator = SeededGenerator(seed: seed)
    return .image(.pixels(generator.normals(12)))
  }

  private func request(_ phase: Phase, _ round: UInt64) throws -> GenerationRequest {
    var parts: [PromptPart] = [.text("round \(round)")]
    switch phase {
    case .imageDecode:
      // What follows the end of a picture is no part of it, but makes it another file.
      let tail = (0..<8).map { UInt8(truncatingIfNeeded: round >> (8 * $0)) }
      parts.append(.image(.encoded(try Fixture.bytes("images/photo_q75_420.jpg") + tail)))
    case .vision: parts += (0..<3).map { pixels(round * 3 + $0) }
    case .prefill:
      parts.append(.text(String(repeating: "a dog and \(round) cats ", count: 10)))
    case .queue, .decode: break
    }
    var request = GenerationRequest(prompt: .interleaved(parts))
    request.sampling.maxTokens = 60
    request.sampling.ignoresEOS = true
    return request
  }

  /// Whether a request that works on `phase` has just told of `event`.
  private func isReached(_ phase: Phase, _ event: GenerationEvent) -> Bool {
    switch (phase, event) {
    case (.vision, .started), (.prefill, .progress(.prefill)), (.decode, .token): true
    default: false
    }
  }

  private func entries(_ folder: String) throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: folder).count
  }

  @Test(arguments: Phase.allCases) func twoHundredCancelsLeaveNothingBehind(
    phase: Phase
  ) async throws {
    let engine = try await EchoEngine(pages: 1500, tokensPerStep: 16) { $0.maxSequences = 2 }
    engine.control.layerMicroseconds.store(100, ordering: .relaxed)
    let threads = try entries("/proc/self/task")
    let files = try entries("/proc/self/fd")
    var blockers: [Task<Void, Never>] = []
    if phase == .queue {
      // Two that run for as long as the test does.
      engine.control.layerMicroseconds.store(5000, ordering: .relaxed)
      for round in UInt64(1000)..<1002 {
        var endless = try request(.decode, round)
        endless.sampling.maxTokens = 400
        let stream = engine.engine.generate(endless)
        blockers.append(Task { do { for try await _ in stream {} } catch {} })
      }
      while engine.engine.metrics.running < 2 { try await Task.sleep(for: .milliseconds(1)) }
    }
    for round in UInt64(0)..<200 {
      let request = try request(phase, round)
      // The stream is let go of with the task.
      let task = Task {
        for try await event in engine.engine.generate(request) where isReached(phase, event) {
          break
        }
      }
      if phase == .queue || phase == .imageDecode {
        if round % 2 == 0 { await Task.yield() }
        task.cancel()
      }
      _ = await task.result
    }
    for blocker in blockers { blocker.cancel() }
    for _ in 0..<500 where engine.engine.metrics.waiting > 0 {
      try await Task.sleep(for: .milliseconds(2))
    }
    await engine.settle()
    let metrics = engine.engine.metrics
    #expect(metrics.pagesInUse == 0 && metrics.running == 0 && metrics.waiting == 0)
    // On a busy machine an answer may be complete before it is cancelled, now and then.
    #expect(metrics.failed == 0 && metrics.finished < 50)
    // What every request had left behind would be hundreds; other tests have a few of their own.
    #expect(try entries("/proc/self/task") < threads + 100)
    #expect(try entries("/proc/self/fd") < files + 100)
    // And the engine still answers as if nothing had been.
    engine.control.layerMicroseconds.store(0, ordering: .relaxed)
    let fresh = try await EchoEngine(pages: 1500)
    let last = try request(.vision, 7)
    #expect(try await engine.result(last).sequences == fresh.result(last).sequences)
    await engine.engine.shutDown()
    await fresh.engine.shutDown()
  }

  private final class Counter: Sendable { let value = Atomic(0) }

  @Test func loadingStopsAfterTheBlocksAtHand() async throws {
    try await MicroModel.withFile { path in
      let file = try IdfxFile.open(path)
      let asked = Counter()
      #expect(throws: WeightFileError.cancelled(path: path)) {
        _ = try LoadedTensors(file.tensors, of: file, threads: 3) {
          asked.value.add(1, ordering: .relaxed).newValue > 5
        }
      }
      // Four threads had a block at hand when the fifth was the last.
      #expect((6...9).contains(asked.value.load(ordering: .relaxed)))
      let load = Task {
        withUnsafeCurrentTask { $0?.cancel() }
        return try await Engine.load(from: path)
      }
      await #expect(throws: CancellationError.self) { _ = try await load.value }
    }
  }

  /// A pass of three layers is under way: of an image, of the prompt, of an answer.
  @Test(arguments: [1, 4, 10, 20]) func aCancelledPassStopsAtTheNextLayer(layer: Int) async throws {
    let engine = try await EchoEngine(tokensPerStep: 32)
    engine.control.layerMicroseconds.store(20_000, ordering: .relaxed)
    var request = GenerationRequest(prompt: .interleaved([pixels(1), .text("What is this?")]))
    request.sampling.ignoresEOS = true
    request.sampling.maxTokens = 100
    let stream = engine.engine.generate(request)
    let task = Task { for try await _ in stream {} }
    while engine.control.layersRun.load(ordering: .relaxed) < layer {
      try await Task.sleep(for: .milliseconds(1))
    }
    task.cancel()
    let atCancel = engine.control.layersRun.load(ordering: .relaxed)
    _ = await task.result
    await engine.settle()
    #expect(engine.engine.metrics.pagesInUse == 0 && engine.engine.metrics.running == 0)
    #expect(engine.control.layersRun.load(ordering: .relaxed) - atCancel <= 1)
    await engine.engine.shutDown()
  }
}
