import Idefix
import Testing

@Suite struct SamplingOptionsTests {
  static let refused: [(String, @Sendable (inout SamplingOptions) -> Void)] = [
    ("max_tokens", { $0.maxTokens = 0 }),
    ("temperature", { $0.temperature = -1 }),
    ("temperature", { $0.temperature = .nan }),
    ("temperature", { $0.temperature = .infinity }),
    ("top_k", { $0.topK = 0 }),
    ("top_p", { $0.topP = 0 }),
    ("top_p", { $0.topP = 1.01 }),
    ("top_p", { $0.topP = .nan }),
    ("min_p", { $0.minP = -0.1 }),
    ("typical_p", { $0.typicalP = 2 }),
    ("repetition_penalty", { $0.repetitionPenalty = 0 }),
    ("repetition_penalty", { $0.repetitionPenalty = .infinity }),
    ("frequency_penalty", { $0.frequencyPenalty = 2.5 }),
    ("presence_penalty", { $0.presencePenalty = .nan }),
    ("logit_bias", { $0.logitBias = [100: 0] }),
    ("logit_bias", { $0.logitBias = [-1: 0] }),
    ("logit_bias", { $0.logitBias = [1: 101] }),
    ("stop", { $0.stop = [""] }),
    ("stop", { $0.stop = [String(repeating: "x", count: 1025)] }),
    ("bad_words", { $0.badWords = Array(repeating: "x", count: 1025) }),
    ("stop_tokens", { $0.stopTokens = [100] }),
    ("logprobs", { $0.logprobs = 21 }),
    ("logprobs", { $0.logprobs = -1 }),
  ]

  @Test(arguments: refused.indices) func valuesWithoutMeaningAreRefusedByName(index: Int) {
    let (name, change) = Self.refused[index]
    var options = SamplingOptions()
    change(&options)
    do {
      try options.validate(vocabularySize: 100)
      Issue.record("\(name) was accepted")
    } catch {
      guard case .invalidParameter(name, _) = error else {
        Issue.record("\(error) does not name \(name)")
        return
      }
    }
  }

  @Test func defaultsAndLimitsAreAccepted() throws {
    var options = SamplingOptions()
    try options.validate(vocabularySize: 100)
    options.topP = 1
    options.minP = 0
    options.logitBias = [99: -100]
    options.frequencyPenalty = -2
    options.logprobs = SamplingOptions.maximumLogprobs
    try options.validate(vocabularySize: 100)
  }
}
