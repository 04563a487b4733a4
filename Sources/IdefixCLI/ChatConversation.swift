// The turns of a chat: what was said, shown and answered, and how to keep them in a file.

import Foundation
import Idefix

/// A conversation that grows turn by turn.
final class ChatConversation {
  /// One message as it is kept: OpenAI's shape, so that `run --messages` takes the file, too.
  struct Turn: Codable {
    struct Part: Codable {
      struct Source: Codable { var url: String }

      var type: String
      var text: String?
      var imageUrl: Source?

      enum CodingKeys: String, CodingKey {
        case type, text
        case imageUrl = "image_url"
      }
    }

    var role: String
    var content: [Part]
  }

  private var turns: [Turn] = []
  private var imageBytes: [String: [UInt8]] = [:]
  private var attached: [String] = []
  private var lastResult: GenerationResult?
  private var answeredTokens = 0

  /// Images that will go with the next message.
  var pendingImages: Int { attached.count }

  /// Shows an image with the next message.
  func attach(_ path: String) throws {
    let expanded = (path as NSString).expandingTildeInPath
    imageBytes[expanded] = try UserFile.read(expanded)
    attached.append(expanded)
  }

  /// Adds a message of the user, with the images attached before.
  func say(_ text: String) {
    var parts = attached.map {
      Turn.Part(type: "image_url", text: nil, imageUrl: Turn.Part.Source(url: $0))
    }
    parts.append(Turn.Part(type: "text", text: text, imageUrl: nil))
    turns.append(Turn(role: "user", content: parts))
    attached = []
  }

  /// Adds the model's answer.
  func hear(_ text: String, result: GenerationResult?) {
    turns.append(
      Turn(role: "assistant", content: [Turn.Part(type: "text", text: text, imageUrl: nil)])
    )
    lastResult = result ?? lastResult
    answeredTokens += result?.receipt.generatedTokens ?? 0
  }

  /// Forgets everything.
  func clear() {
    turns = []
    attached = []
    lastResult = nil
  }

  /// Takes back the last answer; false when the last turn is none.
  func dropAnswer() -> Bool {
    guard turns.last?.role == "assistant" else { return false }
    turns.removeLast()
    return true
  }

  /// Takes back the last message.
  func dropQuestion() {
    if turns.last?.role == "user" { turns.removeLast() }
  }

  /// Takes back the last message and its answer.
  func undo() {
    _ = dropAnswer()
    dropQuestion()
  }

  /// The conversation as a prompt.
  func prompt() throws -> Prompt {
    .chat(
      try turns.map { turn in
        ChatMessage(
          role: turn.role == "user" ? .user : .assistant,
          content: try turn.content.map { part in
            guard let path = part.imageUrl?.url else { return .text(part.text ?? "") }
            return .image(.encoded(try imageBytes[path] ?? UserFile.read(path)))
          }
        )
      }
    )
  }

  /// Keeps the conversation as JSON.
  func save(to path: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .withoutEscapingSlashes, .sortedKeys]
    do {
      try encoder.encode(turns).write(to: URL(filePath: path), options: .atomic)
    } catch {
      throw CommandFailure(.inputOutput, "\(path) cannot be written.")
    }
  }

  /// Replaces the conversation by a kept one.
  func load(from path: String) throws {
    let bytes = try UserFile.read(path)
    guard let kept = try? JSONDecoder().decode([Turn].self, from: Data(bytes)) else {
      throw CommandFailure(.data, "\(path) is not a kept conversation.")
    }
    for source in kept.flatMap(\.content).compactMap(\.imageUrl?.url) {
      imageBytes[source] = try UserFile.read(source)
    }
    clear()
    turns = kept
  }

  /// One line after an answer: context used, speed.
  func status(limit: Int) -> String? {
    guard let result = lastResult else { return nil }
    let used = result.prompt.tokens.count + result.receipt.generatedTokens
    return String(
      format: "\u{1b}[2m%d of %d tokens used, %.1f tok/s\u{1b}[0m\n",
      used,
      limit,
      result.receipt.decodeTokensPerSecond
    )
  }

  /// What `/stats` prints.
  func statistics(limit: Int) -> String {
    guard let result = lastResult else { return "Nothing was answered yet.\n" }
    let receipt = result.receipt
    return String(
      format: """
        context    %d of %d tokens
        prompt     %d tokens, %d of them cached, %.1f tok/s
        answer     %d tokens, %.1f tok/s
        vision     %.0f ms
        in all     %d tokens answered

        """,
      result.prompt.tokens.count + receipt.generatedTokens,
      limit,
      result.prompt.tokens.count,
      receipt.cachedTokens,
      receipt.prefillTokensPerSecond,
      receipt.generatedTokens,
      receipt.decodeTokensPerSecond,
      receipt.encodeImages.milliseconds,
      answeredTokens
    )
  }
}
