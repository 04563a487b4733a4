// Multiple choice by log-probability: each choice is scored as the continuation of the prompt.

import Idefix

/// Scores the choices of each question of a data set.
public struct ChoiceEvaluation: Sendable {
  /// The questions; each needs choices and the right one.
  public var dataset: EvaluationDataset
  /// How questions become prompts.
  public var template: PromptTemplate
  /// Solved examples before each question.
  public var shots = FewShot.none
  /// Lists the choices in the question and scores their letters in place of their texts.
  public var usesLetters = false

  /// An evaluation of a data set.
  ///
  /// - Throws: If a question has no choices.
  public init(
    dataset: EvaluationDataset,
    template: PromptTemplate
  ) throws(EvaluationError) {
    for item in dataset.items where item.correctChoice == nil {
      throw .invalidData(
        path: dataset.paths[0],
        line: item.line,
        reason: "there are no choices or no right one"
      )
    }
    self.dataset = dataset
    self.template = template
  }

  /// Scores every question that the log does not have yet.
  public func run(
    on engine: Engine,
    runner: EvaluationRunner,
    log: ResultsLog<ChoiceScores>
  ) async throws {
    try await runner.run(dataset.items, id: \.id, store: log) { index, item in
      do {
        let (parts, parsesSpecial) = try template.parts(
          for: item,
          shots: shots.examples(at: index, excluding: item.id),
          letters: usesLetters
        )
        let prompt = try Prompt.evaluation(parts, parsesSpecial: parsesSpecial)
        var scores = ChoiceScores(logprobs: [], bytes: [])
        for (letter, choice) in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", item.choices) {
          let text = usesLetters ? String(letter) : choice
          let continuation = try Continuation(text, after: prompt, engine: engine)
          var request = ScoreRequest(prompt: continuation.prompt)
          // What the choices share is computed once.
          request.scoredFrom = continuation.range.lowerBound
          let scored = try await engine.score(request)
          let sum = scored[continuation.range].reduce(0.0) { $0 + Double($1.logprob ?? 0) }
          scores.logprobs.append(sum)
          scores.bytes.append(text.utf8.count)
        }
        return scores
      } catch {
        throw dataset.failure(item, error)
      }
    }
  }

  /// Scores the choices of a log.
  public func score(
    _ log: ResultsLog<ChoiceScores>,
    tags: [String],
    bootstrap: Bootstrap,
    into report: inout EvaluationReport
  ) {
    let scored = dataset.items.compactMap { item in
      log.records[item.id].map { (item: item, scores: $0) }
    }
    let raw = scored.map { $0.scores.best == $0.item.correctChoice ? 1.0 : 0 }
    let normalised = scored.map { $0.scores.bestPerByte == $0.item.correctChoice ? 1.0 : 0 }
    report.metrics.append(.init("accuracy", bootstrap.mean(raw), isShare: true))
    report.metrics.append(.init("accuracy_per_byte", bootstrap.mean(normalised), isShare: true))
    report.group(zip(scored.map(\.item), raw).map { ($0.tags, $1) }, by: tags, bootstrap)
  }
}
