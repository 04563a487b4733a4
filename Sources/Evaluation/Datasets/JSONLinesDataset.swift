// Our own data sets: one JSON object a line,
//   {"id", "task", "prompt": [{"text": …} | {"image": path relative to the file} …], "answers": […],
//    "choices"?: […], "match"?: "strict|short|set|line", "format"?, "stop"?: […], any other string: a tag}

import Foundation

extension EvaluationDataset {
  /// Reads JSON lines.
  ///
  /// With `choices`, the first answer must be one of them: the right one.
  public static func jsonLines(_ path: String) throws(EvaluationError) -> EvaluationDataset {
    let folder = URL(filePath: path).deletingLastPathComponent()
    var reader = try LineReader(path)
    var items: [EvaluationItem] = []
    while let (bytes, number) = try reader.next() {
      if bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
      let row = try JSONRow.decode(Row.self, Data(bytes), path: path, line: number)
      func failure(_ reason: String) -> EvaluationError {
        .invalidData(path: path, line: number, reason: reason)
      }
      guard items.count < limit else { throw failure("there are too many rows") }
      var parts: [EvaluationItem.Part] = []
      for part in row.prompt {
        switch (part.text, part.image) {
        case (let text?, nil): parts.append(.text(text))
        case (nil, let image?):
          parts.append(.image(.file(URL(filePath: image, relativeTo: folder).path)))
        default: throw failure("each part of the prompt must have either text or image")
        }
      }
      var item = EvaluationItem(
        id: row.id?.text ?? String(number),
        content: .prompt(parts),
        line: number
      )
      item.answers = row.answers ?? row.answer.map { [$0] } ?? []
      item.choices = row.choices ?? []
      if !item.choices.isEmpty {
        guard let answer = item.answers.first, let index = item.choices.firstIndex(of: answer)
        else { throw failure("the first answer must be one of the choices") }
        item.correctChoice = index
      }
      if let match = row.match {
        guard let rule = MatchRule(rawValue: match) else {
          throw failure("match must be strict, short, set or line")
        }
        item.match = rule
      }
      item.format = row.format
      item.stop = row.stop ?? []
      item.tags = row.tags
      items.append(item)
    }
    return try EvaluationDataset(paths: [path], items: items)
  }

  private struct Row: Decodable {
    struct Part: Decodable { var text, image: String? }

    var id: FlexibleID?
    var prompt: [Part]
    var answers: [String]?
    var answer: String?
    var choices: [String]?
    var match: String?
    var format: String?
    var stop: [String]?
    var tags: [String: String] = [:]

    private struct Key: CodingKey {
      var stringValue: String
      var intValue: Int? { nil }
      init(_ name: String) { stringValue = name }
      init?(stringValue: String) { self.stringValue = stringValue }
      init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
      let container = try decoder.container(keyedBy: Key.self)
      id = try container.decodeIfPresent(FlexibleID.self, forKey: Key("id"))
      prompt = try container.decode([Part].self, forKey: Key("prompt"))
      answers = try container.decodeIfPresent([String].self, forKey: Key("answers"))
      answer = try container.decodeIfPresent(String.self, forKey: Key("answer"))
      choices = try container.decodeIfPresent([String].self, forKey: Key("choices"))
      match = try container.decodeIfPresent(String.self, forKey: Key("match"))
      format = try container.decodeIfPresent(String.self, forKey: Key("format"))
      stop = try container.decodeIfPresent([String].self, forKey: Key("stop"))
      let known: Set = ["id", "prompt", "answers", "answer", "choices", "match", "format", "stop"]
      for key in container.allKeys where !known.contains(key.stringValue) {
        if let value = try? container.decode(String.self, forKey: key) {
          tags[key.stringValue] = value
        }
      }
    }
  }
}
