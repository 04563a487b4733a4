// `idefix eval`: lists the evaluations, does nothing itself.

import ArgumentParser

/// Measures the quality of a model.
struct EvalCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "eval",
    abstract: "Measure the quality of a model.",
    discussion: """
      Each evaluation states its metric's exact definition in its own --help. Intervals are 95 % \
      percentile bootstrap over items. With --output, results are written line by line next to the \
      summary, and an interrupted run goes on when it is started again.

      Data sets (--data): .jsonl, one {"id", "task", "prompt": [{"text": …} | {"image": path}], \
      "answers": […], "choices"?, "match"?, "format"?, "stop"?} a line, its prompt passed on as it is; \
      .tsv as VLMEvalKit has them; VQA v2 questions JSON (with --annotations and --images); COCO \
      captions JSON (with --images).

      Example: idefix eval exact model.idfx --data held-out/name.jsonl --output name.json
      """,
    subcommands: [
      EvalPerplexityCommand.self,
      EvalDivergenceCommand.self,
      EvalVQACommand.self,
      EvalCaptionCommand.self,
      EvalChoiceCommand.self,
      EvalExactCommand.self,
    ]
  )
}
