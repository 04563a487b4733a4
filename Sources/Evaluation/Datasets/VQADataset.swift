// Questions and annotations in the JSON files of VQA v2 (OK-VQA has the same): two files joined by question_id.

import Foundation

extension EvaluationDataset {
  /// Reads a questions file and, where there is one, its annotations.
  ///
  /// Both are JSON files named by their paths; `images` names the image files. Without annotations (a
  /// test split) items have no answers. Items are tagged with `question_type` and `answer_type`.
  public static func vqa(
    questions: String,
    annotations: String?,
    images: COCOImageNames
  ) throws(EvaluationError) -> EvaluationDataset {
    var rows: [(question: Question, line: Int)] = []
    var names = images
    var stream = try JSONStream(questions)
    try stream.walk(arrays: ["questions"]) { name, json, line throws(EvaluationError) in
      switch name {
      case "questions":
        guard rows.count < limit else {
          throw .invalidData(path: questions, line: line, reason: "there are too many questions")
        }
        let row = try JSONRow.decode(Question.self, json, path: questions, line: line)
        rows.append((row, line))
      case "data_subtype":
        names.subset = try JSONRow.decode(String.self, json, path: questions, line: line)
      default: break
      }
    }
    guard !rows.isEmpty else {
      throw .invalidData(path: questions, line: nil, reason: "there is no array \"questions\"")
    }
    var truths: [String: Annotation] = [:]
    if let annotations {
      var stream = try JSONStream(annotations)
      try stream.walk(arrays: ["annotations"]) { name, json, line throws(EvaluationError) in
        guard name == "annotations" else { return }
        let row = try JSONRow.decode(Annotation.self, json, path: annotations, line: line)
        truths[row.questionID.text] = row
      }
    }
    var items: [EvaluationItem] = []
    for (row, line) in rows {
      var item = EvaluationItem(
        id: row.questionID.text,
        content: .question(row.question, images: [.file(try names.path(of: row.imageID.text))]),
        line: line
      )
      if let annotations {
        guard let truth = truths[item.id] else {
          throw .invalidData(
            path: annotations,
            line: nil,
            reason: "there is no annotation of question \(item.id)"
          )
        }
        item.answers = truth.answers.map(\.answer)
        item.tags["question_type"] = truth.questionType
        item.tags["answer_type"] = truth.answerType
      }
      items.append(item)
    }
    return try EvaluationDataset(
      paths: [questions] + [annotations].compactMap(\.self),
      items: items
    )
  }

  private struct Question: Decodable {
    var questionID: FlexibleID
    var imageID: FlexibleID
    var question: String

    private enum CodingKeys: String, CodingKey {
      case question
      case questionID = "question_id"
      case imageID = "image_id"
    }
  }

  private struct Annotation: Decodable {
    struct Answer: Decodable { var answer: String }

    var questionID: FlexibleID
    var answers: [Answer]
    var questionType: String?
    var answerType: String?

    private enum CodingKeys: String, CodingKey {
      case answers
      case questionID = "question_id"
      case questionType = "question_type"
      case answerType = "answer_type"
    }
  }
}

/// Files of COCO images by their number.
public struct COCOImageNames: Sendable {
  /// Folder of the images.
  public var folder: String
  /// File name; `{id}` is the number with 12 digits, `{number}` the number as it is.
  ///
  /// `nil`: `COCO_SUBSET_{id}.jpg` if the questions name a subset (VQA v2: val2014), else `{id}.jpg`.
  public var pattern: String?
  /// Subset that the questions name.
  var subset: String?

  /// Names of the images in a folder.
  public init(folder: String, pattern: String? = nil) {
    self.folder = folder
    self.pattern = pattern
  }

  /// Path of an image.
  func path(of number: String) throws(EvaluationError) -> String {
    guard !number.isEmpty, number.utf8.count <= 32,
      number.utf8.allSatisfy({ ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x5f || ($0 | 0x20) >= 0x61 })
    else {
      throw .invalidData(path: folder, line: nil, reason: "\(number) cannot be an image number")
    }
    let digits = String(repeating: "0", count: max(0, 12 - number.utf8.count)) + number
    let name = pattern ?? subset.map { "COCO_\($0)_{id}.jpg" } ?? "{id}.jpg"
    return URL(filePath: folder).appending(
      path: name.replacing("{id}", with: digits).replacing("{number}", with: number)
    ).path
  }
}
