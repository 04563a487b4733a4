// `idefix eval choice`: multiple choice by log-probability.

import ArgumentParser
import Evaluation

/// Share of questions whose right choice the model finds most probable.
struct EvalChoiceCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "choice",
    abstract: "Multiple choice: which choice the model finds most probable.",
    discussion: """
      Each choice is scored as the continuation of the prompt, after a space: the sum of the natural \
      log-probabilities of its tokens. accuracy: the choice with the largest sum is the right one. \
      accuracy_per_byte: the same for the sum divided by the choice's UTF-8 bytes, which does not favour \
      short choices. The first of equals counts. With --letters the choices are listed in the question \
      and their letters are scored.

      Example: idefix eval choice model.idfx --data MMBench_DEV_EN.tsv --letters --group-by category
      """
  )

  @Argument(help: "A model file (.idfx; default: $IDEFIX_MODEL or the demo model).")
  var model: String?

  @OptionGroup(title: "Data") var data: EvalDataArguments
  @OptionGroup(title: "Evaluation") var arguments: EvalArguments
  @OptionGroup(title: "Model") var modelArguments: ModelArguments

  @Flag(help: "List the choices in the question and score their letters.")
  var letters = false

  func execute() async throws {
    let dataset = try data.dataset()
    let engine = try await arguments.loadEngine(model, modelArguments)
    let template = data.promptTemplate(engine.info)
    var evaluation = try ChoiceEvaluation(dataset: dataset, template: template)
    evaluation.shots = try data.fewShot(seed: arguments.seed)
    evaluation.usesLetters = letters
    var header = RunHeader(
      evaluation: "choice",
      model: engine.info.fingerprint,
      settings: data.settings(template, dataset)
    )
    header.settings["letters"] = String(letters)
    if data.shots > 0 { header.settings["seed"] = String(arguments.seed) }
    let log: ResultsLog<ChoiceScores> = try arguments.log(header)
    let (runner, bar) = arguments.runner("questions", modelArguments)
    try await evaluation.run(on: engine, runner: runner, log: log)
    bar.clear()
    var report = EvaluationReport(
      header: header,
      model: .init(engine.info),
      files: dataset.paths,
      items: dataset.items.count
    )
    await engine.shutDown()
    evaluation.score(log, tags: data.groupBy, bootstrap: arguments.bootstrap, into: &report)
    try arguments.publish(report)
  }
}
