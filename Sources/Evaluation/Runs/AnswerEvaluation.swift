// The evaluations that compare generated answers: VQA accuracy, exact match, captions. They share everything but the
// comparison.

import Idefix

/// Generates an answer to each question of a data set and scores it.
public struct AnswerEvaluation: Sendable {
  /// How answers are scored.
  public enum Metric: Sendable, Equatable {
    /// ``VQAAccuracy``.
    case vqa
    /// Share of answers that a rule accepts; items may name their own.
    case exact(MatchRule)
    /// ``CIDErD`` and ``BLEUStatistics``.
    case caption
  }

  /// What was answered.
  public struct Answer: Codable, Sendable, Equatable {
    /// Text, trimmed.
    public var answer: String
  }

  /// The questions.
  public var dataset: EvaluationDataset
  /// How answers are scored.
  public var metric: Metric
  /// How questions become prompts.
  public var template: PromptTemplate
  /// Solved examples before each question.
  public var shots = FewShot.none
  /// How answers are made.
  public var options = AnswerOptions()

  /// An evaluation of a data set.
  public init(dataset: EvaluationDataset, metric: Metric, template: PromptTemplate) {
    self.dataset = dataset
    self.metric = metric
    self.template = template
  }

  /// Answers every question that the log does not have yet.
  public func run(
    on engine: Engine,
    runner: EvaluationRunner,
    log: ResultsLog<Answer>
  ) async throws {
    try await runner.run(dataset.items, id: \.id, store: log) { index, item in
      do {
        let (parts, parsesSpecial) = try template.parts(
          for: item,
          shots: shots.examples(at: index, excluding: item.id)
        )
        let prompt = try Prompt.evaluation(parts, parsesSpecial: parsesSpecial)
        let answer = try await engine.answer(prompt, options: options, stop: item.stop)
        return Answer(answer: answer)
      } catch {
        throw dataset.failure(item, error)
      }
    }
  }

  /// Scores the answers of a log; the first metric also by the values of `tags`.
  public func score(
    _ log: ResultsLog<Answer>,
    tags: [String],
    bootstrap: Bootstrap,
    into report: inout EvaluationReport
  ) {
    let answered = dataset.items.compactMap { item in
      log.records[item.id].map { (item: item, answer: $0.answer) }
    }
    let scored = answered.filter { !$0.item.answers.isEmpty }
    guard !scored.isEmpty else { return }
    let scores: [Double]
    switch metric {
    case .vqa:
      scores = scored.map { VQAAccuracy.score($0.answer, annotations: $0.item.answers) }
      report.metrics.append(.init("vqa_accuracy", bootstrap.mean(scores), isShare: true))
    case .exact(let rule):
      scores = scored.map { pair in
        let accepts = (pair.item.match ?? rule).accepts(pair.answer, expected: pair.item.answers)
        return accepts ? 1 : 0
      }
      report.metrics.append(.init("exact_match", bootstrap.mean(scores), isShare: true))
      let formats = scored.compactMap { pair in
        pair.item.format.map { AnswerFormat($0).isFollowed(by: pair.answer) ? 1.0 : 0.0 }
      }
      if !formats.isEmpty {
        report.metrics.append(.init("format_followed", bootstrap.mean(formats), isShare: true))
      }
    case .caption:
      let words = scored.map { pair in
        (
          candidate: CaptionTokenizer.words(of: pair.answer),
          references: pair.item.answers.map { CaptionTokenizer.words(of: $0) }
        )
      }
      scores = CIDErD.scores(words)
      let rows = words.map {
        BLEUStatistics(candidate: $0.candidate, references: $0.references).row
      }
      report.metrics.append(.init("cider_d", bootstrap.mean(scores)))
      report.metrics.append(
        .init("bleu_4", bootstrap.estimate(rows, statistic: BLEUStatistics.score(ofSums:)))
      )
    }
    report.group(zip(scored.map(\.item), scores).map { ($0.tags, $1) }, by: tags, bootstrap)
  }
}

extension EvaluationReport {
  /// Adds the means of scores by the values of tags.
  mutating func group(
    _ scores: [(tags: [String: String], score: Double)],
    by tags: [String],
    _ bootstrap: Bootstrap
  ) {
    for tag in tags {
      var byValue: [String: [Double]] = [:]
      for (values, score) in scores {
        if let value = values[tag] { byValue[value, default: []].append(score) }
      }
      if !byValue.isEmpty { groups[tag] = byValue.mapValues { bootstrap.mean($0) } }
    }
  }
}
