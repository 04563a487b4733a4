import Foundation
import Idefix
import TestSupport
import Testing
import Tokenizers

/// What a request, or a tokenizer that does not fit its weights, must not be able to do to the engine thread.
@Suite struct HostileRequestTests {
  private func matcher(_ expression: String) throws -> (ConstraintMatcher, Tokenizer) {
    let tokenizer = try MicroModel.tokenizer()
    let matcher = ConstraintMatcher(
      try Constraint.regex(expression).automaton(),
      table: TokenTable(tokenizer.vocabulary),
      vocabularySize: tokenizer.vocabulary.count
    )
    return (matcher, tokenizer)
  }

  /// Processor time of this thread: what others do meanwhile does not count.
  private func milliseconds(_ body: () throws -> Void) rethrows -> Double {
    func now() -> Double {
      var time = timespec()
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
      return Double(time.tv_sec) * 1e3 + Double(time.tv_nsec) / 1e6
    }
    let start = now()
    try body()
    return now() - start
  }

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

  /// Expressions whose deterministic automaton is exponential: the bounds are reached, and then nothing is let through.
  @Test(arguments: ["[ab]*a([ab]{900}){20}", "(a|b)*a(a|b){15}", "([ab]*a[ab]{12}){2}"])
  func aConstraintThatExplodesFailsClosed(expression: String) throws {
    let (matcher, tokenizer) = try matcher(expression)
    let a = try #require(tokenizer.vocabulary.id(ofPiece: "a"))
    let b = try #require(tokenizer.vocabulary.id(ofPiece: "b"))
    var generator = SeededGenerator(seed: 1)
    var state = matcher.start
    var steps = 0
    let time = milliseconds {
      while !matcher.hasFailed, steps < 100_000 {
        state = matcher.state(after: generator.next() % 3 == 0 ? b : a, from: state)
        if state < 0 { state = matcher.start }
        steps += 1
      }
    }
    #expect(steps > 100 && steps < 100_000)
    #expect(matcher.bytes < 32 << 20)
    #expect(time < 100, "\(time) ms")
    var scores = [Float](repeating: 0, count: tokenizer.vocabulary.count)
    matcher.mask(&scores, in: state, ends: [tokenizer.specialTokens.eos])
    #expect(scores.allSatisfy { $0 == -.infinity })
  }

  /// Patterns that take backtracking matchers exponential time.
  @Test(arguments: [
    "(a*)*b", "(a|a)*b", "(a+)+b", "(a|b|ab)*c", "(a?){900}a{900}", "(.*)(.*)(.*)b",
  ])
  func catastrophicExpressionsAreMatchedInLinearTime(expression: String) throws {
    let (matcher, tokenizer) = try matcher(expression)
    let a = try #require(tokenizer.vocabulary.id(ofPiece: "a"))
    var state = matcher.start
    let time = milliseconds {
      for _ in 0..<1000 { state = matcher.state(after: a, from: state) }
    }
    #expect(!matcher.hasFailed && state >= 0)
    #expect(time < 100, "\(time) ms")
  }

  private static let nestings = [10, 64, 1000, 100_000, 1_000_000]

  private static func nested(_ opening: String, _ middle: String, _ closing: String) -> [String] {
    nestings.map { (count: Int) -> String in
      String(repeating: opening, count: count) + middle + String(repeating: closing, count: count)
    }
  }

  private static let expressions: [String] =
    nested("(", "a", ")") + nested("(a|", "a", ")") + repeated

  private static let repeated: [String] = [
    "(a{0,10000}){0,10000}", "((a{0,1000}){0,1000}){0,1000}", "(((a{0,99})*){0,99})*",
    String(repeating: "a|", count: 1_000_000), String(repeating: ".", count: 1_000_000),
    String(repeating: "[^a]{9}", count: 10_000),
    "((((((((((){99}){99}){99}){99}){99}){99}){99}){99}){99}){99}",
    "*a", "a**", "{3}", "[z-a]", "(", ")",
  ]

  private static let schemas: [String] =
    nested(#"{"type":"array","items":"#, #"{"type":"null"}"#, "}") + referring

  private static let referring: [String] = [
    chain(100_000), chain(50),
    ##"{"$ref":"#"}"##, ##"{"anyOf":[{"$ref":"#"},{"$ref":"#"}]}"##,
    #"{"type":"string","maxLength":10000}"#,
    #"{"type":"array","items":{"type":"string","maxLength":9999},"maxItems":9999}"#,
    #"{"enum":["# + String(repeating: "1,", count: 200_000) + "1]}",
    #"{"type":"string","pattern":"(((a{0,999}){0,999}){0,999})"}"#,
  ]

  private static func chain(_ count: Int) -> String {
    let rules = (0..<count).map { ##""r\##($0)":{"$ref":"#/$defs/r\##($0 + 1)"}"## }
    let last = ##""r\##(count)":{"type":"null"}"##
    return ##"{"$ref":"#/$defs/r0","$defs":{\##((rules + [last]).joined(separator: ","))}}"##
  }

  /// Compiled or refused, within the budget.
  @Test(arguments: expressions.indices) func hostileExpressionsTakeLittleTime(index: Int) {
    let expression = Self.expressions[index]
    let time = milliseconds { _ = try? Constraint.regex(expression).automaton() }
    #expect(time < 100, "\(time) ms for \(expression.prefix(40))")
  }

  @Test(arguments: schemas.indices) func hostileSchemasTakeLittleTime(index: Int) {
    let schema = Self.schemas[index]
    let time = milliseconds { _ = try? Constraint.jsonSchema(schema).automaton() }
    #expect(time < 100, "\(time) ms for \(schema.prefix(40))")
  }
}
