// Answers in text, for the evaluations that compare texts.

import Foundation
import Idefix

/// How answers are made.
public struct AnswerOptions: Sendable, Equatable {
  /// Most tokens of an answer.
  public var maxTokens: Int
  /// Beams; 1 is greedy decoding, the published scores use 3.
  public var beams: Int
  /// Strings that end an answer, besides those of the item.
  public var stop: [String]
  /// Strings that are never generated.
  public var badWords: [String]

  /// Options of short answers.
  public init(
    maxTokens: Int = 15,
    beams: Int = 1,
    stop: [String] = [],
    badWords: [String] = []
  ) {
    self.maxTokens = maxTokens
    self.beams = beams
    self.stop = stop
    self.badWords = badWords
  }
}

extension Engine {
  /// The answer to a prompt, white space at its ends removed.
  func answer(
    _ prompt: Prompt,
    options: AnswerOptions,
    stop: [String]
  ) async throws -> String {
    var sampling = SamplingOptions()
    sampling.maxTokens = options.maxTokens
    sampling.stop = options.stop + stop.filter { !options.stop.contains($0) }
    sampling.badWords = options.badWords
    var request = GenerationRequest(prompt: prompt, sampling: sampling)
    if options.beams > 1 { request.beams = BeamOptions(width: options.beams) }
    var result: GenerationResult?
    for try await event in generate(request) {
      if case .finished(let finished) = event { result = finished }
    }
    guard let answer = result?.sequences.first else {
      throw EngineError.internalFailure(reason: "a request ended without a result")
    }
    return answer.text.trimmingCharacters(in: .whitespacesAndNewlines)
  }
}
