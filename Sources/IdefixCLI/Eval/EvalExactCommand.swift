// `idefix eval exact`: short answers that are right or wrong.

import ArgumentParser
import Evaluation

/// Share of answers that are what was expected.
struct EvalExactCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "exact",
    abstract: "Answer questions; share of answers that are what was expected.",
    discussion: """
      An answer is right if it matches any of the row's "answers" by the row's "match", else --match: \
      strict, the same text but for white space at the ends; short, the same but for case, a leading \
      article and a final full stop; set, the same things in any order, parted by commas and "and"; \
      line, the first line is the expected text. format_followed: share of answers whose first line \
      has the row's "format", where {c} stands for one word and any other name in braces for words. \
      Decoding is greedy.

      Example: idefix eval exact model.idfx --data held-out/fewshot.jsonl --group-by phrasing --json
      """
  )

  @Argument(help: "A model file (.idfx; default: $IDEFIX_MODEL or the demo model).")
  var model: String?

  @OptionGroup(title: "Data") var data: EvalDataArguments
  @OptionGroup(title: "Answers") var generation: EvalAnswerArguments
  @OptionGroup(title: "Evaluation") var arguments: EvalArguments
  @OptionGroup(title: "Model") var modelArguments: ModelArguments

  @Option(help: "How answers are compared: strict, short, set or line.")
  var match: MatchRule = .short

  func execute() async throws {
    var run = EvalAnswerRun(
      name: "exact",
      metric: .exact(match),
      model: model,
      arguments: arguments,
      data: data,
      generation: generation,
      modelArguments: modelArguments,
      usualTokens: 48,
      barsLineBreaks: false
    )
    run.settings["match"] = match.rawValue
    try await run.run()
  }
}

extension MatchRule: ExpressibleByArgument {}
