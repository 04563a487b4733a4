// `idefix eval vqa`: visual question answering with the accuracy of VQA v2.

import ArgumentParser
import Evaluation

/// Soft accuracy of short answers about images.
struct EvalVQACommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "vqa",
    abstract: "Answer questions about images; accuracy as VQA v2 computes it.",
    discussion: """
      Accuracy of an answer: the mean, over each annotator left out in turn, of min(1, m / 3), where m \
      is how many of the others gave that answer. Unless all annotators agree, answers are first \
      normalised as the published script does: punctuation, number words to digits, no articles, \
      contractions with apostrophes, lower case.

      Base models get the published prompts: "Instruction: provide an answer to the question. Use the \
      image to answer.", then "Image:" picture "Question: … Answer:" for each example and the question; \
      15 tokens, no line breaks, cut at the next "Question", "Image", "What" and the like. The \
      published scores use --beams 3. Instruct models get the question in a User turn.

      Example: idefix eval vqa idefics-9b.idfx --data v2_OpenEnded_mscoco_val2014_questions.json \
      --annotations v2_mscoco_val2014_annotations.json --images val2014 --group-by answer_type \
      --output vqa.json --submission answers.json
      """
  )

  @Argument(help: "A model file (.idfx; default: $IDEFIX_MODEL or the demo model).")
  var model: String?

  @OptionGroup(title: "Data") var data: EvalDataArguments
  @OptionGroup(title: "Answers") var generation: EvalAnswerArguments
  @OptionGroup(title: "Evaluation") var arguments: EvalArguments
  @OptionGroup(title: "Model") var modelArguments: ModelArguments

  @Option(
    help: ArgumentHelp("Write the answers as the VQA server takes them.", valueName: "file")
  )
  var submission: String?

  func execute() async throws {
    var run = EvalAnswerRun(
      name: "vqa",
      metric: .vqa,
      model: model,
      arguments: arguments,
      data: data,
      generation: generation,
      modelArguments: modelArguments,
      usualTokens: 15,
      barsLineBreaks: true
    )
    if let submission { run.submission = { try Submission.vqa($0, $1, to: submission) } }
    try await run.run()
  }
}
