// Which questions an evaluation asks, and how they become prompts.

import ArgumentParser
import Evaluation
import Foundation
import Idefix

/// Data set, template and examples.
struct EvalDataArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The data set: .jsonl, .tsv, VQA v2 questions or COCO captions (.json).",
      valueName: "file"
    )
  )
  var data: String

  @Option(help: ArgumentHelp("VQA v2 annotations of the questions.", valueName: "file"))
  var annotations: String?

  @Option(help: ArgumentHelp("Folder of the images of a .json data set.", valueName: "folder"))
  var images: String?

  @Option(
    help: ArgumentHelp(
      "Image file of a VQA question; {id} is the number in 12 digits, {number} as it is.",
      valueName: "pattern"
    )
  )
  var imageName: String?

  @Option(help: "Ask the first N questions only.")
  var limit: Int?

  @Option(help: "Template: base or instruct (default: as the model is). Whole prompts take none.")
  var template: String?

  @Option(help: "Replaces the template's instruction.")
  var instruction: String?

  @Option(help: "Solved examples before each question.")
  var shots = 0

  @Option(help: ArgumentHelp("Data set that examples are drawn from.", valueName: "file"))
  var support: String?

  @Option(help: ArgumentHelp("VQA v2 annotations of the support set.", valueName: "file"))
  var supportAnnotations: String?

  @Option(
    help: ArgumentHelp(
      "Report the first metric by a field of the rows (task, category, answer_type); may be repeated.",
      valueName: "field"
    )
  )
  var groupBy: [String] = []

  func validate() throws {
    if let limit, limit < 1 { throw ValidationError("--limit must be at least 1.") }
    guard (0...32).contains(shots) else { throw ValidationError("--shots must be 0 to 32.") }
    if shots > 0, support == nil { throw ValidationError("--shots needs --support.") }
    if let template, PromptTemplate.Style(rawValue: template) == nil {
      throw ValidationError("--template must be base or instruct.")
    }
  }

  /// The questions; `captions` says that a .json file has COCO captions.
  func dataset(captions: Bool = false) throws -> EvaluationDataset {
    var dataset = try read(data, annotations: annotations, captions: captions)
    if let limit { dataset.keepFirst(limit) }
    guard !dataset.items.isEmpty else { throw CommandFailure(.data, "\(data) has no rows.") }
    return dataset
  }

  private func read(
    _ path: String,
    annotations: String?,
    captions: Bool
  ) throws -> EvaluationDataset {
    switch URL(filePath: path).pathExtension {
    case "jsonl": return try .jsonLines(path)
    case "tsv": return try .table(path)
    case "json":
      guard let images else {
        throw CommandFailure(.usage, "A .json data set needs --images, the folder of its images.")
      }
      if captions { return try .cocoCaptions(path, images: images) }
      let names = COCOImageNames(folder: images, pattern: imageName)
      return try .vqa(questions: path, annotations: annotations, images: names)
    default:
      throw CommandFailure(.usage, "\(path) must end in .jsonl, .tsv or .json.")
    }
  }

  /// The template for a model.
  func promptTemplate(_ info: ModelInfo, describes: Bool = false) -> PromptTemplate {
    let style = template.flatMap(PromptTemplate.Style.init(rawValue:))
    return PromptTemplate(
      style: style ?? (info.isInstruct ? .instruct : .base),
      describes: describes,
      instruction: instruction
    )
  }

  /// The examples before each question.
  func fewShot(seed: UInt64, captions: Bool = false) throws -> FewShot {
    guard shots > 0, let support else { return .none }
    let examples = try read(support, annotations: supportAnnotations, captions: captions)
    return try FewShot(from: examples, count: shots, seed: seed)
  }

  /// What decides the results, for the header of the results.
  func settings(_ template: PromptTemplate, _ dataset: EvaluationDataset) -> [String: String] {
    var settings = ["data": data, "items": String(dataset.items.count)]
    guard dataset.usesTemplate else { return settings }
    settings["template"] = template.style.rawValue
    settings["instruction"] = template.instruction
    settings["shots"] = String(shots)
    settings["annotations"] = annotations
    if shots > 0 { settings["support"] = support }
    return settings
  }
}

/// How answers are generated.
struct EvalAnswerArguments: ParsableArguments {
  @Option(help: "Most tokens of an answer.")
  var maxTokens: Int?

  @Option(help: "Beams; 1 is greedy decoding, and the published scores use 3.")
  var beams = 1

  func validate() throws {
    if let maxTokens, maxTokens < 1 { throw ValidationError("--max-tokens must be at least 1.") }
    guard (1...16).contains(beams) else { throw ValidationError("--beams must be 1 to 16.") }
  }
}
