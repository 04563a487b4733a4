// An engine that plays a script, so that every route can be tested without a model, and a JSON reader for
// what the routes answer.

import Foundation
import Idefix
import IdefixServer
import Synchronization

/// Answers every request with the same tokens and remembers what it was asked.
final class ScriptedEngine: GenerationService {
  /// What one request brings about.
  struct Script: Sendable {
    var pieces = [" A", " cat", "."]
    var finishReason = FinishReason.eos
    var progress: [PromptProgress] = []
    var promptTokens: [Int32] = [1, 10, 11]
    /// Thrown from the stream before anything else.
    var error: EngineError?
    /// Pause before each token.
    var delay = Duration.zero
    /// Whether tokens come until the caller stops.
    var isEndless = false
  }

  private struct State {
    var requests: [GenerationRequest] = []
    var scores: [ScoreRequest] = []
    var cancellations = 0
  }

  let script: Script
  private let state = Mutex(State())

  init(_ script: Script = Script()) { self.script = script }

  var requests: [GenerationRequest] { state.withLock { $0.requests } }
  var scores: [ScoreRequest] { state.withLock { $0.scores } }
  /// Requests whose stream was ended before its last event.
  var cancellations: Int { state.withLock { $0.cancellations } }

  let info = ModelInfo(scripted: "micro", contextTokens: 128)

  var metrics: EngineMetrics {
    var metrics = EngineMetrics()
    metrics.steps = 7
    metrics.waiting = 2
    return metrics
  }

  func generate(
    _ request: GenerationRequest
  ) -> AsyncThrowingStream<GenerationEvent, any Error> {
    state.withLock { $0.requests.append(request) }
    return AsyncThrowingStream { continuation in
      let task = Task {
        do {
          try await self.play(request) { continuation.yield($0) }
          continuation.finish()
        } catch {
          continuation.finish(throwing: error)
        }
      }
      continuation.onTermination = { reason in
        if case .cancelled = reason {
          self.state.withLock { $0.cancellations += 1 }
          task.cancel()
        }
      }
    }
  }

  private func play(
    _ request: GenerationRequest,
    tell: (GenerationEvent) -> Void
  ) async throws {
    if let error = script.error { throw error }
    try request.sampling.validate(vocabularySize: info.vocabularySize)
    let seed = request.sampling.isGreedy ? nil : request.sampling.seed ?? 42
    let prompt = PromptInfo(
      scripted: script.promptTokens,
      images: request.prompt.images.count,
      seed: seed
    )
    tell(.started(prompt))
    for step in script.progress { tell(.progress(step)) }
    if let top = request.promptLogprobs { tell(.promptScored(prefill(top: top))) }
    var sequences: [GeneratedSequence] = []
    for sequence in 0..<request.count {
      var tokens: [TokenEvent] = []
      var index = 0
      while index < script.pieces.count || script.isEndless {
        if script.delay > .zero { try await Task.sleep(for: script.delay) }
        try Task.checkCancellation()
        let token = token(index, sequence: sequence, request)
        tokens.append(token)
        tell(.token(token))
        index += 1
      }
      sequences.append(
        GeneratedSequence(
          scripted: tokens,
          index: sequence,
          finishReason: script.finishReason
        )
      )
    }
    let receipt = CostReceipt(scriptedQueue: 1, encode: 2, prefill: 3, decode: 4)
    tell(.finished(GenerationResult(scripted: sequences, prompt: prompt, receipt: receipt)))
  }

  private func token(_ index: Int, sequence: Int, _ request: GenerationRequest) -> TokenEvent {
    let isLast = !script.isEndless && index == script.pieces.count - 1
    let isEOS = isLast && script.finishReason == .eos
    let top = (0..<(request.sampling.logprobs ?? 0)).map {
      TokenLogprob(id: Int32($0), text: "t\($0)", logprob: $0 == 0 ? -0.25 : -.infinity)
    }
    return TokenEvent(
      scripted: isEOS ? "</s>" : script.pieces[index % script.pieces.count],
      id: isEOS ? 2 : Int32(20 + index),
      index: index,
      sequence: sequence,
      isSpecial: isEOS,
      logprob: -Float(sequence + 1),
      top: top,
      finishReason: isLast ? script.finishReason : nil
    )
  }

  private func prefill(top: Int) -> [ScoredToken] {
    script.promptTokens.enumerated().map { index, id in
      ScoredToken(
        scripted: index == 0 ? "<s>" : "p\(index)",
        id: id,
        logprob: index == 0 ? nil : -1,
        top: index == 0 || top == 0 ? [] : [TokenLogprob(id: id, text: "p\(index)", logprob: -1)]
      )
    }
  }

  func score(_ request: ScoreRequest) async throws -> [ScoredToken] {
    state.withLock { $0.scores.append(request) }
    return prefill(top: request.top)
  }

  func tokenize(_ prompt: Prompt) throws(EngineError) -> [TokenText] {
    switch prompt.content {
    case .tokens(let ids): return ids.map { TokenText(scripted: "«\($0)»", id: $0) }
    case .interleaved(let parts):
      var tokens = [TokenText(scripted: "<s>", id: 1, isSpecial: true)]
      for part in parts {
        switch part {
        case .text(let text):
          for word in text.split(separator: " ") {
            tokens.append(TokenText(scripted: " \(word)", id: Int32(word.count)))
          }
        case .image: tokens.append(TokenText(scripted: "<image>", id: 9, isSpecial: true))
        }
      }
      return tokens
    case .chat(let messages):
      return [TokenText(scripted: "<s>", id: 1, isSpecial: true)]
        + messages.map { TokenText(scripted: $0.role.rawValue + ":", id: 5) }
    }
  }

  func shutDown() async {}
}

/// A JSON document that can be asked for what is expected of it.
struct JSON: Decodable, Equatable, Sendable {
  private indirect enum Value: Equatable, Sendable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([String: JSON])
  }

  private let value: Value

  init(_ bytes: some Sequence<UInt8>) throws {
    self = try JSONDecoder().decode(JSON.self, from: Data(bytes))
  }

  init(from decoder: any Decoder) throws {
    let container = try decoder.singleValueContainer()
    if container.decodeNil() {
      value = .null
    } else if let bool = try? container.decode(Bool.self) {
      value = .bool(bool)
    } else if let number = try? container.decode(Double.self) {
      value = .number(number)
    } else if let string = try? container.decode(String.self) {
      value = .string(string)
    } else if let array = try? container.decode([JSON].self) {
      value = .array(array)
    } else {
      value = .object(try container.decode([String: JSON].self))
    }
  }

  subscript(_ key: String) -> JSON? {
    if case .object(let fields) = value { fields[key] } else { nil }
  }

  subscript(_ index: Int) -> JSON? {
    if case .array(let items) = value, items.indices.contains(index) { items[index] } else { nil }
  }

  var string: String? { if case .string(let text) = value { text } else { nil } }
  var number: Double? { if case .number(let number) = value { number } else { nil } }
  var bool: Bool? { if case .bool(let bool) = value { bool } else { nil } }
  var isNull: Bool { value == .null }
  var array: [JSON]? { if case .array(let items) = value { items } else { nil } }
  var keys: Set<String> { if case .object(let fields) = value { Set(fields.keys) } else { [] } }
}
