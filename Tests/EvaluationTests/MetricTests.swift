import Evaluation
import Testing

@Suite struct MetricTests {
  @Test(arguments: [
    (MatchRule.strict, " a cat\n", "a cat", true),
    (.strict, "A cat", "a cat", false),
    (.short, "The Cat.", "cat", true),
    (.short, "cats", "cat", false),
    (.short, "another cat", "cat", false),
    (.set, "a wrench and a zebra.", "a zebra and a wrench", true),
    (.set, "a shark, a cactus and an orange cross", "an orange cross, a shark and a cactus", true),
    (.set, "a zebra", "a zebra and a wrench", false),
    (.set, "a zebra and a zebra", "a zebra", false),
    (.set, "a sandwich", "a wich", false),
    (.line, "\n-> wine, brown\nImage:", "-> wine, brown", true),
    (.line, "-> wine", "-> wine, brown", false),
  ])
  func comparesAnswers(rule: MatchRule, answer: String, expected: String, accepted: Bool) {
    #expect(rule.accepts(answer, expected: ["something else", expected]) == accepted)
  }

  @Test(arguments: [
    ("-> {n}, {c}", "-> purple ring, red\nImage:", true),
    ("-> {n}, {c}", "-> ring, dark red", false),
    ("-> {n}, {c}", "ring, red", false),
    ("This is {c}, {n}", "This is brown, purple ring", true),
    ("{n} is {c}", "this is it is red", true),
    ("{n}.", ".", false),
    ("plain", "plain", true),
  ])
  func recognisesFormats(format: String, answer: String, follows: Bool) {
    #expect(AnswerFormat(format).isFollowed(by: answer) == follows)
  }

  @Test func picksChoices() {
    let scores = ChoiceScores(logprobs: [-4, -6, -4], bytes: [2, 12, 2])
    #expect(scores.best == 0)
    #expect(scores.bestPerByte == 1)
    #expect(ChoiceScores(logprobs: [], bytes: []).best == nil)
  }

  @Test func cutsFixedWindows() {
    let windows = ScoringWindow.fixed([5, 6, 7, 8, 9], prefix: 1, size: 3)
    #expect(windows.map(\.tokens) == [[1, 5, 6], [1, 7, 8], [1, 9]])
    #expect(windows.map(\.predicted) == [2, 2, 1])
    #expect(ScoringWindow.fixed([], prefix: 1, size: 3).isEmpty)
  }

  @Test func bootstrapsNothingAndConstants() {
    let bootstrap = Bootstrap(replicates: 10)
    #expect(bootstrap.mean([]).value.isNaN)
    #expect(bootstrap.mean([0.25, 0.25]) == Estimate(value: 0.25, low: 0.25, high: 0.25))
  }

  @Test func impossibleTokensOfTheReferenceAddNothing() {
    let same = TokenDivergence(
      reference: [0, -.infinity],
      candidate: [0, -.infinity],
      token: 0
    )
    #expect(same.divergence == 0 && same.difference == 0)
    let never = TokenDivergence(reference: [0, -.infinity], candidate: [-.infinity, 0], token: 0)
    #expect(never.divergence == .infinity && !never.agrees && never.difference == -1)
  }
}
