// What the server asks of an engine. There is one in production; the tests play a script in its place.

import Idefix

/// An engine as the server sees it.
package protocol GenerationService: Sendable {
  /// Facts of the loaded model.
  var info: ModelInfo { get }
  /// Counters and gauges as of now.
  var metrics: EngineMetrics { get }
  /// Answers a request; ending the iteration cancels it.
  func generate(_ request: GenerationRequest) -> AsyncThrowingStream<GenerationEvent, any Error>
  /// Log-probabilities of every token of a prompt.
  func score(_ request: ScoreRequest) async throws -> [ScoredToken]
  /// A prompt's token ids, each with its text.
  func tokenize(_ prompt: Prompt) throws(EngineError) -> [TokenText]
  /// Ends all requests.
  func shutDown() async
}

extension Engine: GenerationService {}
