// Perplexity of documents under a model.

import Foundation
import Idefix

/// Computes the perplexity of documents.
public struct PerplexityEvaluation: Sendable {
  private static let ln2 = 0.693_147_180_559_945_3

  /// The documents.
  public var documents: [TextDocument]
  /// How they are cut.
  public var cut: ScoringTask.Cut
  /// Tokens that the model sees at once, the prefix token included.
  public var window: Int

  /// An evaluation of documents.
  public init(documents: [TextDocument], cut: ScoringTask.Cut, window: Int) {
    self.documents = documents
    self.cut = cut
    self.window = window
  }

  /// Scores every window that the log does not have yet, then sums up.
  public func run(
    on engine: Engine,
    runner: EvaluationRunner,
    log: ResultsLog<LikelihoodSum>,
    bootstrap: Bootstrap,
    into report: inout EvaluationReport
  ) async throws {
    guard window >= 2, window <= engine.info.contextTokens else {
      throw EvaluationError.unsuitable(
        reason: "The window must have between 2 and \(engine.info.contextTokens) tokens"
      )
    }
    let windows = try ScoringTask.windows(
      of: documents,
      cut: cut,
      window: window,
      engine: engine
    )
    try await runner.run(windows, id: \.task.id, store: log) { _, window in
      let (prompt, places) = try window.task.request(for: engine)
      let scored = try await engine.score(ScoreRequest(prompt: prompt))
      var sum = LikelihoodSum()
      sum.tokens = places.count
      sum.logprob = places.reduce(0.0) { $0 + Double(scored[$1].logprob ?? 0) }
      return sum
    }
    report.items = windows.count
    var sums = windows.compactMap { log.records[$0.task.id] }
    if cut == .rolling {
      var byDocument = documents.map { document in
        var sum = LikelihoodSum()
        sum.words = Perplexity.words(in: document.text)
        sum.bytes = document.text.utf8.count
        return sum
      }
      for (window, sum) in zip(windows, sums) { byDocument[window.document] += sum }
      sums = byDocument
    }
    let rows = sums.map { [$0.logprob, Double($0.tokens), Double($0.words), Double($0.bytes)] }
    let total = sums.reduce(into: LikelihoodSum()) { $0 += $1 }
    report.metrics.append(.init("perplexity", bootstrap.estimate(rows) { exp(-$0[0] / $0[1]) }))
    if cut == .rolling {
      report.metrics += [
        .init("word_perplexity", bootstrap.estimate(rows) { exp(-$0[0] / $0[2]) }),
        .init("byte_perplexity", bootstrap.estimate(rows) { exp(-$0[0] / $0[3]) }),
        .init("bits_per_byte", bootstrap.estimate(rows) { -$0[0] / $0[3] / Self.ln2 }),
      ]
    }
    report.metrics.append(.init("tokens", Double(total.tokens)))
  }
}
