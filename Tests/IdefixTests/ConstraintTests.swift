import Foundation
import Idefix
import TestSupport
import Testing
import Tokenizers

@Suite(.timeLimit(.minutes(2))) struct ConstraintTests {
  /// `seeds` and what can be reached from them without a byte.
  private func closed(_ seeds: [Int32], _ automaton: ByteAutomaton) -> Set<Int32> {
    var reached = Set(seeds)
    var open = seeds
    while let state = open.popLast() {
      if case .split(let next) = automaton.states[Int(state)] {
        open += next.filter { reached.insert($0).inserted }
      }
    }
    return reached
  }

  /// The states after `bytes`, by plain simulation of the automaton.
  private func states(
    after bytes: some Sequence<UInt8>,
    from states: Set<Int32>,
    _ automaton: ByteAutomaton
  ) -> Set<Int32> {
    bytes.reduce(states) { states, byte in
      let next = states.compactMap { state -> Int32? in
        guard case .byte(let range, let next) = automaton.states[Int(state)] else { return nil }
        return range.contains(byte) ? next : nil
      }
      return closed(next, automaton)
    }
  }

  /// Whether the whole of `text` matches.
  private func matches(_ automaton: ByteAutomaton, _ text: String) -> Bool {
    states(after: text.utf8, from: closed([automaton.start], automaton), automaton).contains(0)
  }

  @Test(
    arguments: [
      ("a|bc", ["a", "bc"], ["", "b", "abc", "ab"]),
      ("(ab)*c+", ["c", "abcc", "ababc"], ["ab", "aabc", ""]),
      ("[a-c]{2,3}", ["ab", "abc"], ["a", "abca", "ad"]),
      ("[^a-c]", ["d", "é", "😀", "\n"], ["a", "", "dd"]),
      (".", ["x", "ü", "語", "\u{10ffff}"], ["\n", "", "xy"]),
      (#"\d+\.\d{2}"#, ["3.14", "10.00"], ["3.1", "3x14", ".14"]),
      (#"^\w+\s\S$"#, ["ab c", "_9\tz"], ["ab", "ab  "]),
      ("a?b{0}c", ["c", "ac"], ["bc", "abc"]),
      ("x(?:y|z|)w", ["xyw", "xzw", "xw"], ["xyzw"]),
      (#"[\]\-a]"#, ["]", "-", "a"], ["\\", "b"]),
      ("[]a]", ["]", "a"], ["b"]),
      ("[a-]", ["a", "-"], ["b"]),
      (#"\u00e9\x41\$"#, ["éA$"], ["eA$"]),
      ("[α-ω]+", ["αβγ"], ["abc", ""]),
      ("", [""], ["a"]),
    ] as [(String, [String], [String])]
  )
  func regularExpressionsMatchAsTheyShould(
    expression: String,
    accepted: [String],
    refused: [String]
  ) throws {
    let automaton = try ByteAutomaton(try RegexParser.parse(expression))
    for text in accepted { #expect(matches(automaton, text), "\(expression) on \(text)") }
    for text in refused { #expect(!matches(automaton, text), "\(expression) on \(text)") }
  }

  @Test(arguments: [
    "(", ")", "a)", "(a", "[", "[a", "[b-a]", "*", "a**", "a{2", "a{3,2}", "a{1001}",
    "a{99999999999999999999}",
    "(?=a)", "(?<n>a)", #"\1"#, #"\b"#, #"\q"#, #"a\"#, "a^b", "a$b", "a+?", #"\ud800"#,
    "[^\\s\\S]", "{2}",
    String(repeating: "(", count: 65) + String(repeating: ")", count: 65),
    String(repeating: "(", count: 60000), "((a{1000}){1000}){1000}",
    "((((){1000}){1000}){1000}){1000}", "(((a{0}){1000}){1000}){1000}",
    String(repeating: "(", count: 1_000_000), "a{0,10000}",
    "(" + String(repeating: "a?", count: 40000) + ")",
  ])
  func whatIsNotSupportedIsRefused(expression: String) {
    #expect(throws: EngineError.self) { try Constraint.regex(expression).automaton() }
  }

  @Test func everyScalarRangeIsSplitRightly() {
    let borders: [UInt32] = [
      0, 1, 0x7e, 0x7f, 0x80, 0x81, 0x7fe, 0x7ff, 0x800, 0xfff, 0x1000, 0xd7ff, 0xe000, 0xfffd,
      0xffff,
      0x10000, 0x10001, 0x3ffff, 0x10_fffe, 0x10_ffff,
    ]
    for low in borders {
      for high in borders where high >= low && !(low...high).overlaps(0xd800...0xdfff) {
        let sequences = UTF8Ranges.sequences(of: low...high)
        for scalar in borders {
          guard let valid = Unicode.Scalar(scalar), let bytes = UTF8.encode(valid) else { continue }
          let hits = sequences.count { sequence in
            sequence.count == bytes.count && zip(sequence, bytes).allSatisfy { $0.contains($1) }
          }
          #expect(hits == ((low...high).contains(scalar) ? 1 : 0))
        }
      }
    }
  }

  private static let person = """
    {"title": "Person", "type": "object", "required": ["name", "age"],
     "properties": {"name": {"type": "string", "maxLength": 5}, "nick": {"type": "string", "pattern": "^[a-z]+$"},
      "age": {"type": "integer"}, "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "maxItems": 2},
      "more": {"anyOf": [{"type": "null"}, {"type": "boolean"}]}},
     "$defs": {"tag": {"enum": ["a\\"b", 3, null, {"x": [1]}]}}}
    """

  @Test func schemasMatchTheirDocuments() throws {
    let automaton = try ByteAutomaton(try SchemaPattern.compile(Self.person))
    let accepted = [
      #"{"name":"Ann","age":3}"#, #"{"name": "Ann", "age": -30}"#,
      #"{"name":"","nick":"x","age":0,"tags":[],"more":null}"#,
      #"{"name":"a\"b\\","age":1,"tags":["a\"b", {"x":[1]}]}"#,
      #"{"name":"ééééé","age":7,"more":true}"#,
    ]
    let refused = [
      "{}", #"{"age":3,"name":"Ann"}"#, #"{"name":"Ann"}"#, #"{"name":"Annika","age":3}"#,
      #"{"name":"Ann","age":03}"#, #"{"name":"Ann","age":3,"tags":[3,3,3]}"#,
      #"{"name":"Ann","age":3,}"#,
      #"{"name":"Ann","nick":"X","age":3}"#, #"{"name":"A"n","age":3}"#,
      #"{"name":"Ann","age":3.5}"#,
    ]
    for text in accepted { #expect(matches(automaton, text), "\(text)") }
    for text in refused { #expect(!matches(automaton, text), "\(text)") }
  }

  @Test(arguments: [
    "", "3", "true", "{}", "{\"type\":\"object\"}", #"{"type":"integer","minimum":3}"#,
    #"{"type":"string","format2":1}"#, #"{"oneOf":[{"type":"null"}]}"#, #"{"not":{}}"#,
    #"{"type":"array"}"#,
    #"{"type":"array","items":{"type":"null"},"minItems":3,"maxItems":2}"#,
    #"{"type":"string","maxLength":1e9}"#,
    #"{"type":"string","maxLength":-1}"#,
    ##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/a"}}}"##,
    #"{"$ref":"http://x/y"}"#, #"{"type":"object","properties":{},"required":["a"]}"#,
    #"{"enum":[]}"#,
    #"{"type":"string","pattern":"(a"}"#, #"{"type":"string","pattern":"\""}"#,
    #"{"type":["string",3]}"#,
    #"{"type":"object","properties":{"a":true}}"#, #"{"type":"object","patternProperties":{}}"#,
    String(repeating: #"{"anyOf":["#, count: 10000), #"{"type":"string","type":"null"}"#,
  ])
  func schemasThatAreNotSupportedAreRefused(schema: String) {
    #expect(throws: EngineError.self) { try Constraint.jsonSchema(schema).automaton() }
  }

  /// References that double at each step must not take exponential time.
  @Test func multiplyingReferencesAreRefusedQuickly() {
    let definitions = (0..<40).map { index in
      let next = ##"{"$ref":"#/$defs/d\##(index + 1)"}"##
      return ##""d\##(index)":{"anyOf":[\##(next),\##(next)]}"##
    }
    let list = definitions.joined(separator: ",")
    let schema = ##"{"$ref":"#/$defs/d0","$defs":{\##(list),"d40":{"type":"null"}}}"##
    #expect(throws: EngineError.self) { try Constraint.jsonSchema(schema).automaton() }
  }

  private func answer(
    _ constraint: Constraint,
    seed: UInt64,
    tokens: Int = 200,
    beams: Int? = nil
  ) async throws -> GeneratedSequence {
    let engine = try await EchoEngine(pages: 900)
    var request = GenerationRequest(prompt: .interleaved([.text("seed \(seed)")]))
    request.constraint = constraint
    request.sampling.maxTokens = tokens
    if let beams {
      request.beams = BeamOptions(width: beams)
    } else {
      request.sampling.temperature = 1
      request.sampling.seed = seed
    }
    return try await engine.result(request).sequences[0]
  }

  @Test(arguments: 0..<8 as Range<UInt64>) func answersKeepToTheirConstraint(
    seed: UInt64
  ) async throws {
    let choices = ["yes", "no", "yes and no", "ünknown"]
    for beams in [nil, 3] {
      let choice = try await answer(.choices(choices), seed: seed, beams: beams)
      #expect(choices.contains(choice.text.trimmingCharacters(in: .whitespaces)))
      #expect(choice.finishReason == .stop || choice.finishReason == .eos)
    }
    let date = try await answer(.regex(#"\d{4}-\d\d-\d\d"#), seed: seed)
    #expect(date.text.wholeMatch(of: /\ ?\d{4}-\d\d-\d\d/) != nil && date.finishReason == .stop)
    let short =
      #"{"type":"object","required":["a","b"],"properties":{"a":{"type":"string","maxLength":4},"b":{"enum":[1,2,"x"]},"c":{"type":"boolean"}}}"#
    let document = try await answer(.jsonSchema(short), seed: seed)
    let object = try JSONSerialization.jsonObject(with: Data(document.text.utf8)) as? [String: Any]
    #expect((object?["a"] as? String)?.unicodeScalars.count ?? 9 <= 4 && object?["b"] != nil)
  }

  /// Walks random texts and compares the mask of every state with a plain simulation of each token.
  ///
  /// - Returns: States met, and masks made for them.
  @discardableResult
  private func compareMasks(
    of expression: String,
    _ vocabulary: Vocabulary,
    walks: Int,
    steps: Int,
    horizon: Int? = nil
  ) throws -> (states: Int, masks: Int) {
    let automaton = try Constraint.regex(expression)
      .automaton(horizon: horizon ?? vocabulary.longestText)
    let matcher = ConstraintMatcher(
      automaton,
      table: TokenTable(vocabulary),
      vocabularySize: vocabulary.count + 70
    )
    var met: Set<Int32> = []
    var generator = SeededGenerator(seed: 3)
    for _ in 0..<walks {
      var state = matcher.start
      var simulated = closed([automaton.start], automaton)
      for _ in 0..<steps {
        met.insert(state)
        var scores = [Float](repeating: 1, count: vocabulary.count + 70)
        matcher.mask(&scores, in: state, ends: [2])
        let allowed = scores.indices.filter { scores[$0] == 1 }
        let expected = scores.indices.filter { index in
          if index == 2 { return simulated.contains(0) }
          let text = vocabulary.text(of: Int32(index))
          return !text.isEmpty && vocabulary.kind(of: Int32(index)) != .special
            && !states(after: text, from: simulated, automaton).isEmpty
        }
        #expect(allowed == expected)
        #expect(matcher.accepts(state) == simulated.contains(0))
        guard let token = allowed.filter({ $0 != 2 }).randomElement(using: &generator) else {
          break
        }
        state = matcher.state(after: Int32(token), from: state)
        simulated = states(
          after: vocabulary.text(of: Int32(token)),
          from: simulated,
          automaton
        )
      }
    }
    return (met.count, matcher.maskCount)
  }

  @Test(arguments: [
    #"[a-z ]*"#, #"(dog|do|d) and \d{1,3}"#, #"([^"\\]|\\["\\nt])*"#, "(yes|no|ünknown)?",
    "[α-ω😀]+", #"[\x00-\x03b-df-\u00ff]{1,4}"#,
  ]) func masksAllowExactlyWhatTheAutomatonTakes(expression: String) throws {
    let vocabulary = try MicroModel.tokenizer().vocabulary
    try compareMasks(of: expression, vocabulary, walks: 20, steps: 12)
  }

  /// The copies of a long repetition share masks, but not those near its end, nor those that are optional with others.
  @Test(arguments: [
    "[a-z ]{70}", "([ab]|[c-z]{2} ?){10,45}x", #"([^"\\]|\\["nt]){0,60}""#,
    "((a|b ?){3}c?){35}d{40}", "([a-z]{0,45} ){40}", "(x?[0-9]?){50}[a-z]{50}",
  ]) func repetitionsShareMasksThatAreEqual(expression: String) throws {
    let vocabulary = try MicroModel.tokenizer().vocabulary
    let (states, masks) = try compareMasks(of: expression, vocabulary, walks: 3, steps: 45)
    #expect(masks < states, "\(masks) masks for \(states) states")
    let (all, own) = try compareMasks(of: expression, vocabulary, walks: 1, steps: 8, horizon: 1)
    #expect(all == own, "tokens longer than the horizon tell states apart")
  }

  /// Texts that begin alike for more than a machine word, are equal, or hold zeros.
  @Test func tablesHoldTextsOfEveryKind() throws {
    let texts = [
      "abcdefghi", "abcdefgh", "abcdefgha", "abcdefg", "a\0", "a\0\0", "abcdefghij", "abcdefgh\0",
    ]
    let bytes = try Fixture.bytes("models/micro/tokenizer.json")
    var tree = try #require(
      try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any]
    )
    var added = try #require(tree["added_tokens"] as? [[String: Any]])
    for (index, text) in texts.enumerated() {
      var token = added[0]
      token["id"] = 515 + index
      token["content"] = text
      token["special"] = false
      added.append(token)
    }
    tree["added_tokens"] = added
    let json = Array(try JSONSerialization.data(withJSONObject: tree))
    let vocabulary = try Tokenizer(files: ["tokenizer.json": json]).vocabulary
    #expect(vocabulary.count == 515 + texts.count)
    for expression in [#"a(\x00|bcdefgh)[a\x00]"#, "abcdefghi?j?", #"(.|\n)*"#] {
      try compareMasks(of: expression, vocabulary, walks: 10, steps: 3)
    }
  }

  /// Masks kept from earlier requests and drafts change nothing but the time.
  @Test func constrainedAnswersDoNotDependOnCachesOrDrafts() async throws {
    let engine = try await EchoEngine(pages: 900)
    engine.control.isPeriodic.store(true, ordering: .relaxed)
    for expression in [#"(.|\n)*"#, "[a-z ]{200}"] {
      func run(_ speculates: Bool, tenant: String = "") async throws -> GenerationResult {
        var request = GenerationRequest(prompt: .interleaved([.text("a dog and a cat")]))
        request.constraint = .regex(expression)
        request.sampling.maxTokens = 80
        request.sampling.ignoresEOS = true
        request.speculates = speculates
        request.tenant = tenant
        return try await engine.result(request)
      }
      let plain = try await run(false)
      let drafted = try await run(true)
      #expect(drafted.sequences == plain.sequences)
      #expect(try await run(false, tenant: "other").sequences == plain.sequences)
      if expression.first == "(" { #expect(drafted.receipt.acceptedTokens > 0) }
    }
    await engine.engine.shutDown()
  }

  @Test func aConstraintThatBarsEverythingIsADeadEnd() async throws {
    let engine = try await EchoEngine()
    var request = GenerationRequest(prompt: .interleaved([.text("x")]))
    request.constraint = .choices(["a"])
    for id in Int32(0)..<515 { request.sampling.logitBias[id] = -100 }
    await #expect(throws: EngineError.self) { _ = try await engine.result(request) }
    request.constraint = .choices([])
    await #expect(throws: EngineError.self) { _ = try await engine.result(request) }
  }

  @Test(arguments: [
    "", "{", "[1,]", "{\"a\":1,\"a\":2}", "01", "\"\\ud800\"", "nul", "\"\u{1}\"", "1 2", "[1}",
    "+1", "\"a",
    String(repeating: "[", count: 100_000),
  ]) func damagedJSONIsRefused(text: String) {
    #expect(JSONTree(text) == nil)
  }

  @Test func jsonKeepsItsOrder() throws {
    let text = #"{"b":[1,-2.5e+3,"\u00e9\n\ud83d\ude00"],"a":{"x":null,"y":true}}"#
    let tree = try #require(JSONTree(text))
    #expect(tree.text == #"{"b":[1,-2.5e+3,"é\n😀"],"a":{"x":null,"y":true}}"#)
    #expect(JSONTree(tree.text) == tree)
  }
}
