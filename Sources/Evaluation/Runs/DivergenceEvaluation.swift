// How far a quantised model is from the original: one run stores the original's distributions, others compare
// theirs with them at the same places of the same texts.

import Idefix

/// Stores and compares the distributions of models over the same texts.
public struct DivergenceEvaluation: Sendable {
  /// What one item's comparison is stored as.
  public struct Record: Codable, Sendable, Equatable {
    /// Divergence at each place, in nats.
    public var divergence: [Double]
    /// Whether the most probable token is the same.
    public var agrees: [Bool]
    /// Log-probability of the text's token under the reference.
    public var reference: [Double]
    /// Log-probability of the text's token under the candidate.
    public var candidate: [Double]

    init(_ places: [TokenDivergence]) {
      divergence = places.map(\.divergence)
      agrees = places.map(\.agrees)
      reference = places.map(\.referenceLogprob)
      candidate = places.map(\.logprob)
    }

    var places: [TokenDivergence] {
      divergence.indices.map {
        TokenDivergence(
          divergence: divergence[$0],
          agrees: agrees[$0],
          referenceLogprob: reference[$0],
          logprob: candidate[$0]
        )
      }
    }
  }

  /// What is scored.
  public var tasks: [ScoringTask]

  /// An evaluation over some texts.
  public init(tasks: [ScoringTask]) { self.tasks = tasks }

  /// Stores the distributions of every task that the file does not have yet.
  public func saveReference(
    of engine: Engine,
    runner: EvaluationRunner,
    to writer: DistributionWriter
  ) async throws {
    try await runner.run(tasks, id: \.id, store: writer) { _, task in
      try await Self.distributions(of: task, engine: engine)
    }
    try writer.finish()
  }

  /// Compares with a reference where the log does not have it yet.
  public func compare(
    _ engine: Engine,
    with reference: DistributionFile,
    path: String,
    runner: EvaluationRunner,
    log: ResultsLog<Record>
  ) async throws {
    guard reference.header.vocabulary == engine.info.vocabularySize else {
      throw EvaluationError.mismatch(path: path, reason: "it is of a model with another vocabulary")
    }
    try await runner.run(tasks, id: \.id, store: log) { _, task in
      let found = try await Self.distributions(of: task, engine: engine)
      guard let stored = try reference.distributions(of: task.id), stored.tokens == found.tokens
      else {
        throw EvaluationError.mismatch(path: path, reason: "its tokens of \(task.id) are others")
      }
      return Record(
        found.tokens.indices.map {
          TokenDivergence(
            reference: stored.distributions[$0],
            candidate: found.distributions[$0],
            token: Int(found.tokens[$0])
          )
        }
      )
    }
  }

  /// Sums up the comparisons of a log.
  public func summary(_ log: ResultsLog<Record>, bootstrap: Bootstrap) -> DivergenceSummary {
    DivergenceSummary(
      items: tasks.compactMap { log.records[$0.id]?.places },
      bootstrap: bootstrap
    )
  }

  private static func distributions(
    of task: ScoringTask,
    engine: Engine
  ) async throws -> StoredDistributions {
    let (prompt, places) = try task.request(for: engine)
    var request = ScoreRequest(prompt: prompt)
    request.reportsDistributions = true
    let scored = try await engine.score(request)
    let vocabulary = engine.info.vocabularySize
    guard places.allSatisfy({ scored[$0].distribution.count == vocabulary }) else {
      throw EngineError.internalFailure(reason: "a distribution is missing")
    }
    return StoredDistributions(
      tokens: places.map { scored[$0].id },
      distributions: places.map { scored[$0].distribution }
    )
  }
}
