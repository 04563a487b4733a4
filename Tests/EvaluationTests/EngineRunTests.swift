// Evaluations and batches on a real engine with the micro checkpoint: its answers are nonsense, but what is measured
// of them must be exact.

import Conversion
import Evaluation
import Foundation
import Idefix
import TestSupport
import Testing

@Suite(.serialized) struct EngineRunTests {
  /// Converts the micro checkpoint and runs `body` with an engine on it.
  private func withEngine<Result>(
    recipe: QuantizationRecipe = .f32,
    _ body: (Engine) async throws -> Result
  ) async throws -> Result {
    let folder = try TemporaryFolder()
    let path = folder.path + "/micro.idfx"
    let source = try ConversionSource(path: Fixture.url("models/micro").path)
    let plan = try ConversionPlan(source: source, recipe: recipe)
    _ = try CheckpointConverter.convert(source, plan: plan, to: path)
    var options = EngineOptions()
    options.cacheElement = .f32
    options.threads = 1
    let engine = try await Engine.load(from: path, options: options)
    let result = try await body(engine)
    await engine.shutDown()
    return result
  }

  private static let images = ["rgb_97x301.png", "rgb_7x5.png", "rgba.png"].map {
    Fixture.url("images/\($0)").path
  }

  /// Rows about images, with answers and choices.
  private func dataset(_ folder: borrowing TemporaryFolder) throws -> EvaluationDataset {
    let rows = (0..<9).map { index in
      """
      {"id": "r\(index)", "task": "\(index % 2)", "answers": ["red \(index)"], "match": "short", \
      "prompt": [{"text": "User:"}, {"image": "\(Self.images[index % 3])"}, {"text": \
      "What is it, \(index)?<end_of_utterance>\\nAssistant:"}], "choices": ["red \(index)", "a", "blue"]}
      """
    }
    return try .jsonLines(folder.write("rows.jsonl", rows.joined(separator: "\n")))
  }

  private let template = PromptTemplate(style: .instruct, describes: false)

  @Test func answersAreTheEnginesAndResumeExactly() async throws {
    let folder = try TemporaryFolder()
    let dataset = try dataset(folder)
    var evaluation = AnswerEvaluation(dataset: dataset, metric: .exact(.strict), template: template)
    evaluation.options = AnswerOptions(maxTokens: 6)
    let path = folder.path + "/results.jsonl"
    let header = RunHeader(evaluation: "exact", model: "m", settings: [:])
    try await withEngine { engine in
      let log = try ResultsLog<AnswerEvaluation.Answer>(
        path: path,
        header: header,
        startsAnew: true
      )
      try await evaluation.run(on: engine, runner: EvaluationRunner(inFlight: 4), log: log)
      #expect(log.records.count == 9)

      // One item by hand.
      var sampling = SamplingOptions()
      sampling.maxTokens = 6
      var prompt = Prompt.interleaved([
        .text("User:"), .image(.encoded(try Fixture.bytes("images/rgb_97x301.png"))),
        .text("What is it, 3?<end_of_utterance>\nAssistant:"),
      ])
      prompt.parsesSpecialTokens = true
      var text: String?
      for try await event in engine.generate(GenerationRequest(prompt: prompt, sampling: sampling))
      {
        if case .finished(let result) = event { text = result.sequences.first?.text }
      }
      let expected = text?.trimmingCharacters(in: .whitespacesAndNewlines)
      #expect(log.records["r3"]?.answer == expected)

      // A run that was cut off in the middle of its fifth line comes to the same.
      let whole = try folder.read("results.jsonl")
      let lines = whole.split(separator: UInt8(ascii: "\n"))
      let half = lines[..<5].reduce(0) { $0 + $1.count + 1 } + 4
      _ = try folder.write("results.jsonl", Array(whole[..<half]))
      let again = try ResultsLog<AnswerEvaluation.Answer>(
        path: path,
        header: header,
        startsAnew: false
      )
      #expect(again.records.count == 4)
      try await evaluation.run(on: engine, runner: EvaluationRunner(inFlight: 2), log: again)
      #expect(again.records == log.records)
    }
  }

  @Test func scoresAnswersByGroup() throws {
    let folder = try TemporaryFolder()
    let evaluation = AnswerEvaluation(
      dataset: try dataset(folder),
      metric: .exact(.strict),
      template: template
    )
    let log = ResultsLog<AnswerEvaluation.Answer>()
    for index in 0..<9 {
      let answer = index < 4 ? "Red \(index)." : "blue"
      let json = Data("{\"answer\": \"\(answer)\"}".utf8)
      try log.append(
        JSONDecoder().decode(AnswerEvaluation.Answer.self, from: json),
        id: "r\(index)"
      )
    }
    var report = EvaluationReport(
      header: RunHeader(evaluation: "exact", model: "m", settings: [:]),
      model: .init(name: "n", fingerprint: "m", recipe: "f32"),
      files: [],
      items: 9
    )
    evaluation.score(log, tags: ["task"], bootstrap: Bootstrap(replicates: 50), into: &report)
    #expect(report.metrics.first?.estimate?.value == 4.0 / 9)
    #expect(report.groups["task"]?["0"]?.value == 2.0 / 5)
    #expect(report.groups["task"]?["1"]?.value == 2.0 / 4)
  }

  @Test func choicesScoreAsTheirTokens() async throws {
    let folder = try TemporaryFolder()
    let dataset = try dataset(folder)
    let evaluation = try ChoiceEvaluation(dataset: dataset, template: template)
    try await withEngine { engine in
      let log = ResultsLog<ChoiceScores>()
      try await evaluation.run(on: engine, runner: EvaluationRunner(inFlight: 3), log: log)
      let scores = try #require(log.records["r2"])
      var prompt = Prompt.interleaved([
        .text("User:"), .image(.encoded(try Fixture.bytes("images/rgba.png"))),
        .text("What is it, 2?<end_of_utterance>\nAssistant:"),
      ])
      prompt.parsesSpecialTokens = true
      let short = try engine.tokenize(prompt).count
      prompt.content = .interleaved(
        prompt.images.map { .image($0) }.reduce([.text("User:")]) { $0 + [$1] }
          + [.text("What is it, 2?<end_of_utterance>\nAssistant: blue")]
      )
      let scored = try await engine.score(ScoreRequest(prompt: prompt))
      let sum = scored[short...].reduce(0.0) { $0 + Double($1.logprob ?? .nan) }
      #expect(scores.logprobs[2] == sum)
      #expect(scores.bytes == [5, 1, 4])
    }
  }

  @Test func perplexityIsThatOfTheScores() async throws {
    let text = String(repeating: "a dog sees the red cat. ", count: 12)
    let documents = [TextDocument(id: "a", text: text), TextDocument(id: "b", text: "a cat")]
    try await withEngine { engine in
      var report = EvaluationReport(
        header: RunHeader(evaluation: "perplexity", model: "m", settings: [:]),
        model: .init(engine.info),
        files: [],
        items: 0
      )
      for cut in [ScoringTask.Cut.fixed, .rolling] {
        report.metrics = []
        try await PerplexityEvaluation(documents: documents, cut: cut, window: 32).run(
          on: engine,
          runner: EvaluationRunner(inFlight: 4),
          log: ResultsLog<LikelihoodSum>(),
          bootstrap: Bootstrap(replicates: 20),
          into: &report
        )
        let value = try #require(report.metrics.first?.estimate?.value)
        let tokens = try documents.map { document in
          try engine.tokenize(.interleaved([.text(document.text)])).dropFirst().map(\.id)
        }
        #expect(report.metrics.last?.value == Double(tokens.joined().count))
        let windows =
          cut == .fixed
          ? ScoringWindow.fixed(Array(tokens.joined()), prefix: 1, size: 32)
          : tokens.flatMap { ScoringWindow.rolling(Array($0), prefix: 1, length: 31) }
        #expect(report.items == windows.count && windows.count > 3)
        var sum = 0.0
        for window in windows {
          let scored = try await engine.score(ScoreRequest(prompt: Prompt(.tokens(window.tokens))))
          for token in scored.suffix(window.predicted) { sum += Double(token.logprob ?? .nan) }
        }
        let expected = exp(-sum / Double(tokens.joined().count))
        #expect(abs(value / expected - 1) < 1e-12)
      }
    }
  }

  @Test func aModelDoesNotDivergeFromItselfAndAQuantisedOneDoes() async throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/reference"
    let tasks = ScoringTask.answers(of: try dataset(folder), template: template)
    let evaluation = DivergenceEvaluation(tasks: tasks)
    let runner = EvaluationRunner(inFlight: 4)
    let bootstrap = Bootstrap(replicates: 20)
    func compare(_ engine: Engine) async throws -> DivergenceSummary {
      let log = ResultsLog<DivergenceEvaluation.Record>()
      let reference = try DistributionFile(path)
      try await evaluation.compare(engine, with: reference, path: path, runner: runner, log: log)
      return evaluation.summary(log, bootstrap: bootstrap)
    }
    try await withEngine { engine in
      let header = DistributionHeader(
        run: RunHeader(evaluation: "divergence", model: engine.info.fingerprint, settings: [:]),
        model: engine.info.name,
        recipe: engine.info.recipe,
        vocabulary: engine.info.vocabularySize
      )
      let writer = try DistributionWriter(path: path, header: header)
      try await evaluation.saveReference(of: engine, runner: runner, to: writer)
      let summary = try await compare(engine)
      #expect(summary.tokens > 20)
      #expect(summary.meanDivergence == Estimate(value: 0, low: 0, high: 0))
      #expect(summary.topAgreement.value == 1 && summary.rmsDifference.value == 0)
      #expect(summary.perplexity == summary.referencePerplexity)
    }
    try await withEngine(recipe: .q4) { engine in
      let summary = try await compare(engine)
      #expect(summary.meanDivergence.value > 0 && summary.rmsDifference.value > 0)
    }
  }

  @Test func batchesAnswerEveryRowOnce() async throws {
    let folder = try TemporaryFolder()
    let rows = (0..<7).map {
      "{\"id\": \"b\($0)\", \"prompt\": [{\"text\": \"a dog \($0)\"}], \"max_tokens\": \($0 + 1)}"
    }
    let text =
      rows.joined(separator: "\n")
      + "\n{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"}]}\n"
      + "{\"id\": \"bad\", \"prompt\": [{\"image\": \"x\"}]}"
    let input = try folder.write("rows.jsonl", text)
    var sampling = SamplingOptions()
    sampling.maxTokens = 3
    sampling.ignoresEOS = true
    sampling.logprobs = 2
    let batch = BatchRun(
      input: input,
      sampling: sampling,
      inFlight: 3,
      image: { throw EvaluationError.noSuchFile(path: $0) },
      progress: { _, _ in }
    )
    func lines(_ name: String) throws -> [String: BatchAnswer] {
      let answers = try folder.read(name).split(separator: UInt8(ascii: "\n")).map {
        try JSONDecoder().decode(BatchAnswer.self, from: Data($0))
      }
      return Dictionary(answers.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
    }
    try await withEngine { engine in
      let path = folder.path + "/out.jsonl"
      let output = try BatchOutput(path: path, resumes: false, replaces: false)
      try await batch.run(on: engine, output: output)
      #expect(output.failures == 1)
      let answers = try lines("out.jsonl")
      #expect(answers.count == 9)
      #expect((0..<7).allSatisfy { answers["b\($0)"]?.completionTokens == $0 + 1 })
      #expect(answers["b4"]?.logprobs?.count == 5 && answers["b4"]?.finishReason == "length")
      #expect(answers["b4"]?.logprobs?.allSatisfy { $0.top.count == 2 } == true)
      #expect(answers["8"]?.completionTokens == 3)
      #expect(answers["bad"]?.error == "There is no file x.")

      // What is there is not replaced by accident.
      #expect(throws: EvaluationError.self) {
        try BatchOutput(path: path, resumes: true, replaces: false)
      }
      // An interrupted batch comes to the same.
      let whole = try folder.read("out.jsonl")
      let half = try #require(whole.firstIndex(of: UInt8(ascii: "\n"))) + 20
      try FileManager.default.removeItem(atPath: path)
      _ = try folder.write("out.jsonl.partial", Array(whole[..<half]))
      #expect(throws: EvaluationError.self) {
        try BatchOutput(path: path, resumes: false, replaces: false)
      }
      let resumed = try BatchOutput(path: path, resumes: true, replaces: false)
      #expect(resumed.done.count == 1)
      try await batch.run(on: engine, output: resumed)
      let again = try lines("out.jsonl")
      #expect(again.mapValues(\.text) == answers.mapValues(\.text))
      #expect(!FileManager.default.fileExists(atPath: path + ".partial"))
    }
  }

  @Test func aPrefixStandsBeforeEveryRow() async throws {
    let folder = try TemporaryFolder()
    let shared = String(repeating: "the red dog sees a cat, ", count: 8)
    let rows = ["one", "two", "three"]
    let input = try folder.write(
      "rows.jsonl",
      rows.map { "{\"id\": \"\($0)\", \"prompt\": [{\"text\": \"and \($0)\"}]}" }
        .joined(separator: "\n")
    )
    var sampling = SamplingOptions()
    sampling.maxTokens = 4
    var batch = BatchRun(
      input: input,
      sampling: sampling,
      inFlight: 8,
      image: { throw EvaluationError.noSuchFile(path: $0) },
      progress: { _, _ in }
    )
    batch.prefix = .interleaved([.text(shared)])
    try await withEngine { engine in
      let path = folder.path + "/out.jsonl"
      try await batch.run(
        on: engine,
        output: BatchOutput(path: path, resumes: false, replaces: false)
      )
      let answers = try folder.read("out.jsonl").split(separator: UInt8(ascii: "\n")).map {
        try JSONDecoder().decode(BatchAnswer.self, from: Data($0))
      }
      #expect(answers.first?.id == "one" && answers.count == 3)
      #expect(answers.dropFirst().allSatisfy { $0.cachedTokens ?? 0 >= 16 })
      for answer in answers {
        let prompt = Prompt.interleaved([.text(shared + "and " + answer.id)])
        #expect(try engine.tokenize(prompt).count == answer.promptTokens)
      }
    }
  }

  @Test(arguments: [
    (
      "{\"id\": 1, \"prompt\": []}\n{\"id\": \"1\", \"prompt\": []}",
      "line 2: the id 1 occurs twice"
    ),
    ("{\"prompt\": []}\n{", "line 2: it is not valid JSON"),
  ])
  func aBrokenBatchEndsBeforeItBegins(rows: String, message: String) async throws {
    let folder = try TemporaryFolder()
    let batch = BatchRun(
      input: try folder.write("rows.jsonl", rows),
      sampling: SamplingOptions(),
      inFlight: 1,
      image: { throw EvaluationError.noSuchFile(path: $0) },
      progress: { _, _ in }
    )
    try await withEngine { engine in
      let output = try BatchOutput(path: folder.path + "/o", resumes: false, replaces: false)
      let error = await #expect(throws: EvaluationError.self) {
        try await batch.run(on: engine, output: output)
      }
      #expect(error?.description.contains(message) ?? false)
    }
  }
}
