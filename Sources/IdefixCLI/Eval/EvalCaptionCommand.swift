// `idefix eval caption`: captions against references.

import ArgumentParser
import Evaluation

/// CIDEr-D and BLEU-4 of captions.
struct EvalCaptionCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "caption",
    abstract: "Describe images; CIDEr-D and BLEU-4 against reference captions.",
    discussion: """
      cider_d: CIDEr-D as the COCO caption evaluation computes it (n-grams of 1 to 4 words, clipped, \
      length penalty with sigma 6, times 10; 1.0 here is what papers print as 100). Document \
      frequencies come from the references of the very images that are scored, so that scores of \
      different subsets do not compare. bleu_4: corpus BLEU of up to 4 words, closest reference \
      length, no smoothing. Words: Penn Treebank rules in lower case without punctuation, as close to \
      Stanford's tokeniser as captions need.

      Base models get "Image:" picture "Caption:", the published prompt; instruct models are asked to \
      describe the image in a User turn.

      Example: idefix eval caption idefics-9b.idfx --data captions_val2014.json --images val2014 \
      --shots 4 --support captions_train2014.json --output coco.json
      """
  )

  @Argument(help: "A model file (.idfx; default: $IDEFIX_MODEL or the demo model).")
  var model: String?

  @OptionGroup(title: "Data") var data: EvalDataArguments
  @OptionGroup(title: "Answers") var generation: EvalAnswerArguments
  @OptionGroup(title: "Evaluation") var arguments: EvalArguments
  @OptionGroup(title: "Model") var modelArguments: ModelArguments

  @Option(
    help: ArgumentHelp("Write the captions as the COCO server takes them.", valueName: "file")
  )
  var submission: String?

  func execute() async throws {
    var run = EvalAnswerRun(
      name: "caption",
      metric: .caption,
      model: model,
      arguments: arguments,
      data: data,
      generation: generation,
      modelArguments: modelArguments,
      usualTokens: 30,
      barsLineBreaks: true
    )
    run.settings["idf"] = "references of the scored images"
    if let submission { run.submission = { try Submission.captions($0, $1, to: submission) } }
    try await run.run()
  }
}
