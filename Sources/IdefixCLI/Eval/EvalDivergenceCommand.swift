// `idefix eval divergence`: how far a quantised model is from the original.

import ArgumentParser
import Evaluation
import Foundation
import Idefix

/// Divergence of a model from stored distributions of another.
struct EvalDivergenceCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "divergence",
    abstract: "How far a model's probabilities are from those of a reference model.",
    discussion: """
      First --save-reference with the original (f32), then --reference with the quantised model, with the \
      same texts. Texts: text files, cut into windows as in `eval perplexity --cut fixed`, every token; \
      or --data, the first answer of each row after its prompt and images, the answer's tokens only \
      (rows without an answer: every token of the prompt that is not special).

      mean_kl: mean over tokens of Σ p_ref (ln p_ref - ln p), in nats, over the whole vocabulary. \
      top_1_agreement: share of tokens where both find the same token most probable. delta_p: change of \
      the probability of the text's own token, percentiles and mean; rms_delta_p: root of the mean \
      square. perplexity_ratio: the model's perplexity on these tokens over the reference's.

      The reference takes 4 bytes a token and vocabulary id: 128 KB a token at 32000. With --kv f32 in \
      both runs the rounding of cached keys and values is left out of the comparison.

      Example: idefix eval divergence f32.idfx --data caption.jsonl --save-reference caption.ref && \
      idefix eval divergence q4.idfx --data caption.jsonl --reference caption.ref
      """
  )

  @Argument(
    help: ArgumentHelp(
      "A model file (.idfx; default: $IDEFIX_MODEL or the demo model), then text files.",
      valueName: "[MODEL] [FILE...]"
    )
  )
  var words: [String] = []

  @Option(help: ArgumentHelp("A .jsonl data set in place of text files.", valueName: "file"))
  var data: String?

  @Option(help: "Take the first N rows of the data set only.")
  var limit: Int?

  @Option(
    help: "Tokens that the model sees at once (default: 512, or its context if that is less)."
  )
  var window: Int?

  @Option(help: ArgumentHelp("Store this model's distributions here.", valueName: "file"))
  var saveReference: String?

  @Option(help: ArgumentHelp("Compare with the distributions stored here.", valueName: "file"))
  var reference: String?

  @OptionGroup(title: "Evaluation") var arguments: EvalArguments
  @OptionGroup(title: "Model") var modelArguments: ModelArguments

  func validate() throws {
    guard (saveReference == nil) != (reference == nil) else {
      throw ValidationError("Give either --save-reference or --reference.")
    }
  }

  func execute() async throws {
    let (model, files) = try EvalText.split(words)
    guard files.isEmpty != (data == nil) else {
      throw CommandFailure(.usage, "Give either text files or --data.")
    }
    // Read before the model is loaded, so that a wrong file is told at once.
    var dataset = try data.map { try EvaluationDataset.jsonLines($0) }
    if let limit { dataset?.keepFirst(limit) }
    let documents = try dataset == nil ? EvalText.read(files) : []
    let stored = try reference.map { try DistributionFile($0) }

    let engine = try await arguments.loadEngine(model, modelArguments)
    let window = window ?? min(512, engine.info.contextTokens)
    let tasks: [ScoringTask]
    var settings: [String: String]
    if let dataset {
      let template = PromptTemplate(style: .base, describes: false)
      tasks = ScoringTask.answers(of: dataset, template: template)
      settings = ["data": data ?? "", "items": String(tasks.count)]
    } else {
      tasks = try ScoringTask.windows(
        of: documents,
        cut: .fixed,
        window: window,
        engine: engine
      ).map(\.task)
      settings = EvalText.settings(files, documents, cut: .fixed, window: window)
    }
    let evaluation = DivergenceEvaluation(tasks: tasks)
    var (runner, bar) = arguments.runner(dataset == nil ? "windows" : "rows", modelArguments)
    // Whole distributions are large: those in flight take half a gigabyte at most.
    let item =
      (dataset == nil ? window : engine.info.contextTokens) * engine.info.vocabularySize * 4
    runner.inFlight = max(1, min(runner.inFlight, (512 << 20) / max(item, 1)))
    if let saveReference {
      let header = DistributionHeader(
        run: RunHeader(
          evaluation: "divergence",
          model: engine.info.fingerprint,
          settings: settings
        ),
        model: engine.info.name,
        recipe: engine.info.recipe,
        vocabulary: engine.info.vocabularySize
      )
      let writer = try DistributionWriter(path: saveReference, header: header)
      try await evaluation.saveReference(of: engine, runner: runner, to: writer)
      bar.clear()
      await engine.shutDown()
      Terminal.writeError("\(tasks.count) items stored in \(saveReference)\n")
      return
    }
    guard let stored, let reference else { return }
    settings["reference"] = stored.header.run.model
    let header = RunHeader(
      evaluation: "divergence",
      model: engine.info.fingerprint,
      settings: settings
    )
    let log: ResultsLog<DivergenceEvaluation.Record> = try arguments.log(header)
    try await evaluation.compare(
      engine,
      with: stored,
      path: reference,
      runner: runner,
      log: log
    )
    bar.clear()
    var report = EvaluationReport(
      header: header,
      model: .init(engine.info),
      files: dataset?.paths ?? files,
      items: tasks.count
    )
    await engine.shutDown()
    report.settings["reference_model"] = "\(stored.header.model) (\(stored.header.recipe))"
    report.metrics = evaluation.summary(log, bootstrap: arguments.bootstrap).metrics
    try arguments.publish(report)
  }
}

extension DivergenceSummary {
  /// The summary as a report shows it.
  fileprivate var metrics: [EvaluationReport.Metric] {
    [
      .init("mean_kl", meanDivergence),
      .init("top_1_agreement", topAgreement, isShare: true),
      .init("rms_delta_p", rmsDifference),
      .init("mean_delta_p", meanDifference),
      .init("kl", divergencePercentiles),
      .init("delta_p", differencePercentiles),
      .init("reference_perplexity", referencePerplexity),
      .init("perplexity", perplexity),
      .init("perplexity_ratio", perplexity / referencePerplexity),
      .init("tokens", Double(tokens)),
    ]
  }
}
