// Answers in the files that benchmark servers take.

import Foundation

/// Writes answers for a benchmark server.
public enum Submission {
  /// VQA v2: `[{"question_id", "answer"}]`.
  public static func vqa(
    _ dataset: EvaluationDataset,
    _ log: ResultsLog<AnswerEvaluation.Answer>,
    to path: String
  ) throws(EvaluationError) {
    try write(dataset, log, id: "question_id", answer: "answer", to: path)
  }

  /// COCO captions: `[{"image_id", "caption"}]`.
  public static func captions(
    _ dataset: EvaluationDataset,
    _ log: ResultsLog<AnswerEvaluation.Answer>,
    to path: String
  ) throws(EvaluationError) {
    try write(dataset, log, id: "image_id", answer: "caption", to: path)
  }

  private static func write(
    _ dataset: EvaluationDataset,
    _ log: ResultsLog<AnswerEvaluation.Answer>,
    id: String,
    answer: String,
    to path: String
  ) throws(EvaluationError) {
    let rows = dataset.items.compactMap { item in
      log.records[item.id].map {
        Row(idName: id, id: item.id, answerName: answer, answer: $0.answer)
      }
    }
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard let data = try? encoder.encode(rows) else { throw .unwritable(path: path) }
    try AtomicFile.write(data, to: path)
  }

  private struct Row: Encodable {
    struct Key: CodingKey {
      var stringValue: String
      var intValue: Int? { nil }
      init(_ name: String) { stringValue = name }
      init?(stringValue: String) { self.stringValue = stringValue }
      init?(intValue: Int) { nil }
    }

    var idName: String
    var id: String
    var answerName: String
    var answer: String

    /// Ids that are numbers in the data set are numbers in the submission.
    func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: Key.self)
      if let number = Int(id), String(number) == id {
        try container.encode(number, forKey: Key(idName))
      } else {
        try container.encode(id, forKey: Key(idName))
      }
      try container.encode(answer, forKey: Key(answerName))
    }
  }
}
