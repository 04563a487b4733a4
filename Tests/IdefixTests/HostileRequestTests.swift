import Idefix
import Testing

/// What a request, or a tokenizer that does not fit its weights, must not be able to do to the engine thread.
@Suite struct HostileRequestTests {
  @Test func tokensThatTheWeightsDoNotKnowAreIgnored() {
    let processors = LogitsProcessors(
      options: SamplingOptions(),
      barred: [9, 3],
      badWords: [[7], [2, 8], [1]],
      prompt: [2]
    )
    var scores = [Float](repeating: 0, count: 5)
    processors.penalize(&scores)
    #expect(scores == [0, -.infinity, 0, -.infinity, 0])
  }
}
