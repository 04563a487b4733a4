// One question of a data set, whatever file it came from. Images are references: they are read when their
// request is sent, so that a data set takes memory for its texts only.

import Foundation
import Idefix

/// Where an image is.
public enum ImageReference: Sendable, Hashable {
  /// An image file.
  case file(String)
  /// Base64 text inside a file.
  case base64(file: String, offset: Int, length: Int)

  /// Largest image file taken, in bytes.
  public static let limit = 64 << 20

  /// The image's bytes.
  public func load() throws(EvaluationError) -> ImageInput {
    let path: String
    let bytes: Data?
    switch self {
    case .file(let file):
      path = file
      let whole = try Self.read(file, offset: 0, length: Self.limit + 1)
      guard whole.count <= Self.limit else {
        throw .invalidData(path: path, line: nil, reason: "the image is too large")
      }
      bytes = whole
    case .base64(let file, let offset, let length):
      path = file
      bytes = Data(base64Encoded: try Self.read(file, offset: offset, length: length))
    }
    guard let bytes, !bytes.isEmpty else {
      throw .invalidData(path: path, line: nil, reason: "an image is empty or not base64")
    }
    return .encoded(Array(bytes))
  }

  private static func read(
    _ path: String,
    offset: Int,
    length: Int
  ) throws(EvaluationError) -> Data {
    guard FileManager.default.fileExists(atPath: path) else { throw .noSuchFile(path: path) }
    do {
      let handle = try FileHandle(forReadingFrom: URL(filePath: path))
      try handle.seek(toOffset: UInt64(offset))
      return try handle.read(upToCount: length) ?? Data()
    } catch {
      throw .unreadable(path: path)
    }
  }
}

/// One question of a data set.
public struct EvaluationItem: Sendable, Equatable {
  /// One piece of a prompt.
  public enum Part: Sendable, Equatable {
    /// Text.
    case text(String)
    /// An image.
    case image(ImageReference)
  }

  /// What is asked.
  public enum Content: Sendable, Equatable {
    /// A whole prompt, passed on as it is.
    case prompt([Part])
    /// A question about images; a template makes the prompt.
    case question(String, images: [ImageReference])
    /// An image to describe; a template makes the prompt.
    case caption(ImageReference)
  }

  /// Identifier, unique in the data set.
  public var id: String
  /// What is asked.
  public var content: Content
  /// Right answers: of ten annotators, reference captions, or what is accepted.
  public var answers: [String] = []
  /// Choices of a multiple-choice question, in order.
  public var choices: [String] = []
  /// Index of the right choice.
  public var correctChoice: Int?
  /// Strings that end the answer.
  public var stop: [String] = []
  /// How the answer is compared; `nil`: as the run says.
  public var match: MatchRule?
  /// Form that the answer should have (``AnswerFormat``).
  public var format: String?
  /// Properties that results are grouped by, such as `task`.
  public var tags: [String: String] = [:]
  /// Line it came from, from 1.
  public var line: Int

  /// An item without answers.
  public init(id: String, content: Content, line: Int) {
    self.id = id
    self.content = content
    self.line = line
  }
}

/// The questions of one source.
public struct EvaluationDataset: Sendable {
  /// Files it was read from; the first is named in errors.
  public var paths: [String]
  /// Its questions in order.
  public var items: [EvaluationItem]

  /// Most questions taken.
  public static let limit = 5_000_000

  /// A data set; identifiers must be unique.
  init(paths: [String], items: [EvaluationItem]) throws(EvaluationError) {
    self.paths = paths
    self.items = items
    var seen: Set<String> = []
    for item in items where !seen.insert(item.id).inserted {
      throw .invalidData(
        path: paths.first ?? "",
        line: item.line,
        reason: "the id \(item.id) occurs twice"
      )
    }
  }

  /// Whether there are questions that a template makes a prompt of.
  public var usesTemplate: Bool {
    items.contains { if case .prompt = $0.content { false } else { true } }
  }

  /// The first questions only.
  public mutating func keepFirst(_ count: Int) { items = Array(items.prefix(count)) }

  /// An error about one item.
  public func failure(_ item: EvaluationItem, _ error: any Error) -> any Error {
    if error is CancellationError { return error }
    return EvaluationError.item(id: item.id, path: paths[0], line: item.line, reason: "\(error)")
  }
}
