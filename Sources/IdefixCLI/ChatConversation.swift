// The turns of a chat: what was said, shown and answered, and how to keep them in a file.

import Foundation
import Idefix
import Images

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

  /// Messages so far, answers among them.
  var messages: Int { turns.count }

  /// Shows an image with the next message; refuses what is none.
  func attach(_ source: String) async throws {
    let isAddress = ["http://", "https://", "file://", "data:"].contains { source.hasPrefix($0) }
    // Whole paths, so that a kept conversation can be read from anywhere.
    let name =
      isAddress
      ? source : URL(filePath: (source as NSString).expandingTildeInPath).standardizedFileURL.path
    try await read(name, ImageLoader(isTrusted: true))
    attached.append(name)
  }

  private func read(_ name: String, _ loader: ImageLoader) async throws {
    guard case .encoded(let bytes) = try await loader.image(name).content else { return }
    do {
      _ = try ImageDecoder.decode(bytes)
    } catch {
      throw CommandFailure(.data, "\(name): \(error)")
    }
    imageBytes[name] = bytes
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

  /// Takes back the last message; its images go with the next one.
  func dropQuestion() {
    guard let last = turns.last, last.role == "user" else { return }
    turns.removeLast()
    attached = last.content.compactMap(\.imageUrl?.url) + attached
  }

  /// Takes back the last message and its answer; false if there is none.
  func undo() -> Bool {
    _ = dropAnswer()
    guard turns.last?.role == "user" else { return false }
    turns.removeLast()
    return true
  }

  /// The conversation as a prompt.
  func prompt() throws -> Prompt {
    .chat(
      try turns.map { turn in
        guard let role = ChatMessage.Role(rawValue: turn.role) else {
          throw CommandFailure(.data, "There is no role \(turn.role).")
        }
        return ChatMessage(
          role: role,
          content: turn.content.map { part in
            guard let name = part.imageUrl?.url else { return .text(part.text ?? "") }
            return .image(.encoded(imageBytes[name] ?? []))
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
  func load(from path: String) async throws {
    let bytes = try UserFile.read(path)
    guard let kept = try? JSONDecoder().decode([Turn].self, from: Data(bytes)),
      kept.allSatisfy({ ChatMessage.Role(rawValue: $0.role) != nil })
    else { throw CommandFailure(.data, "\(path) is not a kept conversation.") }
    let loader = ImageLoader(folder: URL(filePath: path).deletingLastPathComponent())
    for name in kept.flatMap(\.content).compactMap(\.imageUrl?.url) {
      try await read(name, loader)
    }
    clear()
    turns = kept
  }

  /// One line after an answer: context used, speed; dim on a terminal.
  func status(limit: Int) -> String? {
    guard let result = lastResult else { return nil }
    let used = result.prompt.tokens.count + result.receipt.generatedTokens
    let line = String(
      format: "%d of %d tokens used, %.1f tok/s",
      used,
      limit,
      result.receipt.decodeTokensPerSecond
    )
    return Terminal.showsProgress ? "\u{1b}[2m\(line)\u{1b}[0m" : line
  }

  /// The same error, naming the file where it is about an image.
  func naming(_ error: any Error) -> any Error {
    let names = turns.flatMap(\.content).compactMap(\.imageUrl?.url) + attached
    guard case EngineError.invalidImage(let index, let reason) = error,
      names.indices.contains(index)
    else { return error }
    return CommandFailure(.data, "\(names[index]) cannot be used: \(reason).")
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
      receipt.encodeImagesMilliseconds,
      answeredTokens
    )
  }
}
