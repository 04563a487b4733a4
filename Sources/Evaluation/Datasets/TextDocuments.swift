// Documents of plain text, for perplexity: a text file is one document; a .jsonl file has one a line, {"text": …}.

import Foundation

/// A document to compute the perplexity of.
public struct TextDocument: Sendable, Equatable {
  /// Identifier, unique among the documents.
  public var id: String
  /// The text.
  public var text: String

  /// A document.
  public init(id: String, text: String) {
    self.id = id
    self.text = text
  }

  /// Largest text file taken, in bytes.
  public static let limit = 1 << 30

  /// The documents of a file.
  public static func read(_ path: String) throws(EvaluationError) -> [TextDocument] {
    if path.hasSuffix(".jsonl") { return try rows(path) }
    let name = URL(filePath: path).lastPathComponent
    guard FileManager.default.fileExists(atPath: path) else { throw .noSuchFile(path: path) }
    let data: Data
    do {
      let handle = try FileHandle(forReadingFrom: URL(filePath: path))
      data = try handle.read(upToCount: limit + 1) ?? Data()
    } catch {
      throw .unreadable(path: path)
    }
    guard data.count <= limit else {
      throw .invalidData(path: path, line: nil, reason: "the file is too large")
    }
    guard let text = String(validating: data, as: UTF8.self) else {
      throw .invalidData(path: path, line: nil, reason: "it is not UTF-8 text")
    }
    return [TextDocument(id: name, text: text)]
  }

  private static func rows(_ path: String) throws(EvaluationError) -> [TextDocument] {
    var reader = try LineReader(path)
    var documents: [TextDocument] = []
    while let (bytes, number) = try reader.next() {
      if bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 }) { continue }
      let row = try JSONRow.decode(Row.self, Data(bytes), path: path, line: number)
      documents.append(TextDocument(id: row.id?.text ?? String(number), text: row.text))
    }
    return documents
  }

  private struct Row: Decodable {
    var id: FlexibleID?
    var text: String
  }
}
