// The rows of `convert --calibrate`: a data set in the form that `eval` takes, each row a prompt followed by its
// first answer, made into token ids and pixels with the tokenizer and preprocessor of the checkpoint.

import ArgumentParser
import Conversion
import Evaluation
import Foundation
import IdeficsModel
import Idefix
import WeightFiles

/// A file of prompts to calibrate with.
enum CalibrationFile {
  private static let maximumBytes = 64 << 20

  /// Reads the rows of `path` for the checkpoint `source`.
  static func rows(_ path: String, for source: ConversionSource) throws -> CalibrationRows {
    let contents = try InputFile.contents(of: path, limit: maximumBytes)
    let dataset = try EvaluationDataset.jsonLines(path)
    guard !dataset.items.isEmpty, dataset.items.count <= CalibrationRows.limit else {
      throw ConversionError.calibration(
        name: path,
        reason: "it has \(dataset.items.count) rows; 1 to \(CalibrationRows.limit) can be used."
      )
    }
    let files = Dictionary(source.companions.map { ($0.name, $0.bytes) }) { first, _ in first }
    let preparer = try RequestPreparer(files: files, configuration: source.configuration)
    let template = PromptTemplate(style: .base, describes: false)
    let prompts = try dataset.items.map { item in
      do {
        let (parts, parsesSpecial) = try template.parts(for: item)
        var prompt = try Prompt.evaluation(parts, parsesSpecial: parsesSpecial)
        if let answer = item.answers.first { prompt = try prompt.continued(by: answer) }
        let prepared = try preparer.prepare(ScoreRequest(prompt: prompt))
        guard
          let row = LayerwisePrompt(
            tokens: prepared.tokens,
            attendedImages: prepared.attendedImages,
            images: prepared.images.map(\.pixels)
          )
        else { throw EvaluationError.unsuitable(reason: "The row has no tokens") }
        return row
      } catch {
        throw dataset.failure(item, error)
      }
    }
    let name = URL(filePath: path).lastPathComponent
    return CalibrationRows(name: name, contents: contents, prompts: prompts)
  }

  /// The recipe that asks for calibration with the rows of `path`, by `method`, as it says itself, or
  /// compensated; and the rows.
  static func apply(
    _ path: String?,
    method: CalibrationMethod?,
    to recipe: QuantizationRecipe,
    of source: ConversionSource
  ) throws -> (recipe: QuantizationRecipe, rows: CalibrationRows?) {
    guard let path else { return (recipe, nil) }
    let method = method ?? recipe.calibration ?? .compensated
    return (recipe.calibrated(by: method), try rows(path, for: source))
  }
}

extension CalibrationMethod: ExpressibleByArgument {}
