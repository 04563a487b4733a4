// Tab-separated tables of VLMEvalKit: a header line, then one question a row, images as base64 in the column
// "image" (or the index of the row that has it) or as files in "image_path", choices in columns A, B, C, ….

import Foundation

extension EvaluationDataset {
  /// Reads a table with the columns `index`, `question`, `image` or `image_path`, and, where they are,
  /// `answer`, `category`, `hint` and `A`, `B`, `C`, ….
  ///
  /// With choices, `answer` is the letter of the right one. An answer of the form `['a', 'b']` is a list.
  /// Base64 stays in the file until its request is sent.
  public static func table(_ path: String) throws(EvaluationError) -> EvaluationDataset {
    var reader = try TableReader(path)
    let folder = URL(filePath: path).deletingLastPathComponent()
    guard let header = try reader.next(bulky: []) else {
      throw .invalidData(path: path, line: 1, reason: "the file is empty")
    }
    let names = header.fields.map(\.text)
    let columns = Dictionary(zip(names, names.indices), uniquingKeysWith: { first, _ in first })
    guard let index = columns["index"], let question = columns["question"] else {
      throw .invalidData(path: path, line: 1, reason: "columns index and question are needed")
    }
    let bulky = Set([columns["image"]].compactMap(\.self))
    var items: [EvaluationItem] = []
    var images: [String: ImageReference] = [:]
    var borrowed: [(item: Int, from: String)] = []
    while let (fields, line) = try reader.next(bulky: bulky) {
      if fields.count == 1, fields[0].text.isEmpty { continue }
      func failure(_ reason: String) -> EvaluationError {
        .invalidData(path: path, line: line, reason: reason)
      }
      guard fields.count == names.count else {
        throw failure("\(names.count) columns are expected; there are \(fields.count)")
      }
      guard items.count < limit else { throw failure("there are too many rows") }
      func text(_ name: String) -> String? {
        columns[name].map { fields[$0].text }.flatMap { $0.isEmpty ? nil : $0 }
      }
      let id = fields[index].text
      var references: [ImageReference] = []
      if let file = text("image_path") {
        references = [.file(URL(filePath: file, relativeTo: folder).path)]
      } else if let column = columns["image"] {
        let field = fields[column]
        if field.length > 64 {
          references = [.base64(file: path, offset: field.offset, length: field.length)]
          images[id] = references[0]
        } else if field.length > 0 {
          borrowed.append((items.count, field.text))
        }
      }
      let asked = [text("hint"), fields[question].text].compactMap(\.self)
      var item = EvaluationItem(
        id: id,
        content: .question(asked.joined(separator: "\n"), images: references),
        line: line
      )
      item.choices = "ABCDEFGHIJ".prefix { text(String($0)) != nil }.compactMap { text(String($0)) }
      if let answer = text("answer") {
        if item.choices.isEmpty {
          item.answers = list(answer)
        } else {
          let letter = answer.uppercased().unicodeScalars.first.map { Int($0.value) - 65 } ?? -1
          guard item.choices.indices.contains(letter) else {
            throw failure("the answer must be the letter of a choice")
          }
          item.correctChoice = letter
          item.answers = [item.choices[letter]]
        }
      }
      item.tags["category"] = text("category")
      items.append(item)
    }
    for (index, id) in borrowed {
      guard let image = images[id], case .question(let text, _) = items[index].content else {
        throw .invalidData(
          path: path,
          line: items[index].line,
          reason: "the image is neither base64 nor the index of a row that has one"
        )
      }
      items[index].content = .question(text, images: [image])
    }
    return try EvaluationDataset(paths: [path], items: items)
  }

  /// The strings of a list as Python prints it; any other text is one answer.
  static func list(_ text: String) -> [String] {
    guard text.hasPrefix("["), text.hasSuffix("]") else { return [text] }
    var strings: [String] = []
    var current: String?
    var quote: Character?
    var isEscaped = false
    for character in text.dropFirst().dropLast() {
      if let open = quote {
        if isEscaped {
          current?.append(character == "n" ? "\n" : character)
          isEscaped = false
        } else if character == "\\" {
          isEscaped = true
        } else if character == open {
          strings.append(current ?? "")
          quote = nil
        } else {
          current?.append(character)
        }
      } else if character == "'" || character == "\"" {
        quote = character
        current = ""
      } else if character != ",", !character.isWhitespace {
        return [text]
      }
    }
    return quote == nil ? strings : [text]
  }
}

/// The rows of a table whose fields are parted by tabs; a field in double quotes may hold tabs and line breaks.
struct TableReader {
  struct Field {
    /// The field's text; of bulky fields the first 64 bytes.
    var text: String
    /// Place of the field's text in the file.
    var offset: Int
    /// Bytes of the field in the file.
    var length: Int
  }

  private static let fieldLimit = 1 << 20
  private static let columnLimit = 1000
  private var stream: ByteStream

  init(_ path: String) throws(EvaluationError) { stream = try ByteStream(path) }

  /// The next row and its first line; `nil` at the end of the file.
  ///
  /// Of the `bulky` columns only the beginning is kept.
  mutating func next(
    bulky: Set<Int>
  ) throws(EvaluationError) -> (fields: [Field], line: Int)? {
    guard try stream.peek() != nil else { return nil }
    let line = stream.line
    var fields: [Field] = []
    while true {
      guard fields.count < Self.columnLimit else {
        throw stream.failure("there are too many columns")
      }
      let limit = bulky.contains(fields.count) ? nil : Self.fieldLimit
      let (field, endsRow) = try self.field(limit: limit)
      fields.append(field)
      if endsRow { return (fields, line) }
    }
  }

  private mutating func field(
    limit: Int?
  ) throws(EvaluationError) -> (field: Field, endsRow: Bool) {
    var bytes: [UInt8] = []
    let isQuoted = try stream.peek() == UInt8(ascii: "\"")
    if isQuoted { _ = try stream.next() }
    let offset = stream.offset
    var length = 0
    var isOpen = isQuoted
    var endsRow = true
    while let byte = try stream.next() {
      if isOpen, byte == UInt8(ascii: "\"") {
        guard try stream.peek() == byte else {
          isOpen = false
          continue
        }
        _ = try stream.next()
      } else if !isOpen, byte == UInt8(ascii: "\t") {
        endsRow = false
        break
      } else if !isOpen, byte == UInt8(ascii: "\n") {
        break
      }
      length += 1
      if let limit {
        guard length <= limit else { throw stream.failure("a field is too long") }
        bytes.append(byte)
      } else {
        guard length <= ImageReference.limit else { throw stream.failure("an image is too large") }
        if length <= 64 { bytes.append(byte) }
      }
    }
    guard !isOpen else { throw stream.failure("a quoted field is not closed") }
    if !isQuoted, endsRow, bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw stream.failure("a field is not UTF-8 text")
    }
    return (Field(text: text, offset: offset, length: length), endsRow)
  }
}
