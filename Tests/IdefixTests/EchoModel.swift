// A model whose output depends on exactly what the engine told it to read: every page holds a hash of all that went
// into it, and the logits are a hash of all pages a token can see. A page that was mixed up, written too early, shared
// wrongly or read after it was given away changes the answer.

import Foundation
import IdeficsModel
import Idefix
import Synchronization
import TestSupport

/// What a test can ask an ``EchoModel`` to do; shared between threads.
final class EchoControl: Sendable {
  /// Passes so far: encodings and steps.
  let encodings = Atomic(0)
  let steps = Atomic(0)
  /// Layers computed so far.
  let layersRun = Atomic(0)
  /// Microseconds that a pass takes for each layer; it stops between layers when it is cancelled.
  let layerMicroseconds = Atomic(0)
  /// Whether steps wait at their beginning until this is lowered.
  let isHeld = Atomic(false)
  /// Whether the most probable token follows from the last one alone, so that answers repeat themselves.
  let isPeriodic = Atomic(false)
  /// Whether `</s>` is often among the best.
  let favoursEnds = Atomic(false)
  /// Microseconds that a pass takes for each token besides.
  let tokenMicroseconds = Atomic(0)
  /// Largest number of slices and tokens that a step had.
  let largestBatch = Atomic(0)
  let largestStep = Atomic(0)
}

/// A deterministic stand-in for a model.
final class EchoModel: ForwardModel {
  let vocabularySize = 515
  let layers = 3
  let crossBlocks = 2
  let imageStates = 20
  let pages: Int
  let pageBytes = 8 * pageTokens
  let tokensPerStep: Int
  let cancellation = CancellationFlag()
  private let control: EchoControl
  /// Contents of the pages, `[page][slot]`.
  private var slots: [[UInt64]]

  init(pages: Int, tokensPerStep: Int, control: EchoControl) {
    self.pages = pages
    self.tokensPerStep = tokensPerStep
    self.control = control
    slots = Array(repeating: Array(repeating: 0, count: pageTokens), count: pages)
  }

  private static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
    var generator = SeededGenerator(seed: a &* 0x2545_f491_4f6c_dd1d ^ b)
    return generator.next()
  }

  private func layer() throws {
    let wait = control.layerMicroseconds.load(ordering: .relaxed)
    if wait > 0 { Thread.sleep(forTimeInterval: Double(wait) / 1e6) }
    control.layersRun.add(1, ordering: .relaxed)
    if cancellation.isRaised { throw ModelError.cancelled }
  }

  func encode(
    _ image: PixelTensor,
    into pages: PageTable,
    _ finished: (ImageStage, _ bytes: Int) -> Void
  ) throws {
    control.encodings.add(1, ordering: .relaxed)
    for stage in ImageStage.allCases {
      try layer()
      finished(stage, stage == .crossKeysValues ? pages.layers.joined().count * pageBytes : 100)
    }
    let hash = image.values.reduce(1) { Self.mix($0, UInt64($1.bitPattern)) }
    for (block, pages) in pages.layers.enumerated() {
      for state in 0..<imageStates {
        let place = UInt64(block * 1000 + state)
        slots[Int(pages[state / pageTokens])][state % pageTokens] = Self.mix(hash, place)
      }
    }
  }

  func step(
    _ slices: [SequenceSlice],
    _ consume: (_ row: Int, _ logits: [Float]) throws -> Void
  ) throws {
    let tokens = slices.reduce(0) { $0 + $1.tokens.count }
    precondition(tokens <= tokensPerStep, "more tokens than a step may carry")
    control.steps.add(1, ordering: .relaxed)
    control.largestBatch.max(slices.count, ordering: .relaxed)
    control.largestStep.max(tokens, ordering: .relaxed)
    while control.isHeld.load(ordering: .relaxed) { Thread.sleep(forTimeInterval: 1e-4) }
    for _ in 0..<layers { try layer() }
    let wait = tokens * control.tokenMicroseconds.load(ordering: .relaxed)
    if wait > 0 { Thread.sleep(forTimeInterval: Double(wait) / 1e6) }
    var rows: [(hash: UInt64, token: Int32)] = []
    for slice in slices {
      let images = slice.imageRuns.flatMap { Array(repeating: $0.image, count: $0.tokenCount) }
      for (offset, token) in slice.tokens.enumerated() {
        let position = slice.position + offset
        let hash = see(slice, position: position, token: token, image: images[offset])
        let isLast = offset == slice.tokens.count - 1
        switch slice.logits {
        case .none: break
        case .last: if isLast { rows.append((hash, token)) }
        case .all: rows.append((hash, token))
        }
      }
    }
    for (row, source) in rows.enumerated() {
      var logits = logits(source.hash)
      if control.isPeriodic.load(ordering: .relaxed) {
        logits[300 + (Int(source.token) + 1) % 7] = 9
      }
      if control.favoursEnds.load(ordering: .relaxed) { logits[2] += 3 }
      try consume(row, logits)
    }
  }

  /// Stores a token in every layer and hashes everything it sees.
  private func see(
    _ slice: SequenceSlice,
    position: Int,
    token: Int32,
    image: ImagePages?
  ) -> UInt64 {
    var state = Self.mix(UInt64(UInt32(bitPattern: token)), UInt64(position))
    for (block, pages) in (image?.table.layers ?? []).enumerated() {
      for index in 0..<(image?.stateCount ?? 0) {
        let value = slots[Int(pages[index / pageTokens])][index % pageTokens]
        state = Self.mix(state, value &+ UInt64(block))
      }
    }
    for layer in 0..<layers {
      let pages = slice.pages.layers[layer]
      slots[Int(pages[position / pageTokens])][position % pageTokens] = Self.mix(
        state,
        UInt64(layer)
      )
      for earlier in 0...position {
        let value = slots[Int(pages[earlier / pageTokens])][earlier % pageTokens]
        state = Self.mix(state, value)
      }
    }
    return state
  }

  private func logits(_ hash: UInt64) -> [Float] {
    var generator = SeededGenerator(seed: hash)
    return (0..<vocabularySize).map { _ in Float.random(in: -4..<4, using: &generator) }
  }

  func bytes(ofPage page: Int32) -> [UInt8] {
    slots[Int(page)].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (8 * $0)) } }
  }

  func setBytes(_ bytes: [UInt8], ofPage page: Int32) {
    slots[Int(page)] = stride(from: 0, to: bytes.count, by: 8).map { start in
      bytes[start..<(start + 8)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
  }

  func poison(_ page: Int32) { slots[Int(page)] = Array(repeating: .max, count: pageTokens) }

  func copyPage(from source: Int32, to destination: Int32) {
    slots[Int(destination)] = slots[Int(source)]
  }
}

/// An engine on an ``EchoModel`` with the micro tokenizer.
struct EchoEngine {
  let engine: Engine
  let control = EchoControl()

  init(
    pages: Int = 600,
    tokensPerStep: Int = 64,
    contextTokens: Int = 512,
    change: (inout EngineOptions) -> Void = { _ in }
  ) async throws {
    var options = EngineOptions()
    change(&options)
    let tokenizer = try MicroModel.tokenizer()
    let preparer = RequestPreparer(
      renderer: PromptRenderer(tokenizer: tokenizer),
      processor: .init(imageSize: 2),
      vocabularySize: 515,
      contextTokens: contextTokens,
      options: options
    )
    let control = control
    engine = try await Engine.start(
      EngineParts(info: Self.info(contextTokens), preparer: preparer, options: options)
    ) { EchoModel(pages: pages, tokensPerStep: tokensPerStep, control: control) }
  }

  private static func info(_ contextTokens: Int) -> ModelInfo {
    ModelInfo(
      name: "echo",
      path: "",
      fingerprint: "",
      isInstruct: true,
      vocabularySize: 515,
      contextTokens: contextTokens,
      hiddenSize: 1,
      layers: 3,
      crossBlocks: 2,
      imageSize: 2,
      recipe: "",
      isa: "",
      threads: 1,
      cacheElement: .f32,
      cacheBytes: 0,
      bosToken: 1,
      eosToken: 2,
      endOfUtteranceToken: 514
    )
  }

  /// The whole result of a request.
  func result(_ request: GenerationRequest) async throws -> GenerationResult {
    try await engine.result(request)
  }
}

extension Engine {
  /// The result of a request, events thrown away.
  func result(_ request: GenerationRequest) async throws -> GenerationResult {
    for try await event in generate(request) {
      if case .finished(let result) = event { return result }
    }
    throw EngineError.internalFailure(reason: "the stream ended without a result")
  }
}
