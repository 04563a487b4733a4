// Prompts in JSON: OpenAI chat messages, or the raw interleaved form {"prompt":[{"text":…},{"image":…}]}. Only the
// structure is read here; the caller turns image references into images. Refuses unknown roles and part types.

import Foundation

/// Reads prompts from JSON.
public enum PromptJSON {
  /// Longest document read, in bytes; images may stand in it as data URLs.
  public static let maximumBytes = 256 << 20

  /// Reads a prompt.
  ///
  /// - Parameters:
  ///   - json: An array of messages, `{"messages": […]}` or `{"prompt": […]}`.
  ///   - image: Loads what an image reference (a path or URL) names.
  /// - Returns: The prompt, with its images loaded.
  /// - Throws: ``EngineError/invalidPrompt(reason:)``, or what `image` throws.
  public static func prompt(
    from json: [UInt8],
    image: (String) async throws -> ImageInput
  ) async throws -> Prompt {
    var references: [String] = []
    _ = try read(json) { reference in
      references.append(reference)
      return .encoded([])
    }
    var images: [ImageInput] = []
    for reference in references { images.append(try await image(reference)) }
    var loaded = images[...]
    return try read(json) { _ in loaded.removeFirst() }
  }

  /// Reads a prompt whose images are at hand, in order.
  package static func read(
    _ json: [UInt8],
    image: (String) throws -> ImageInput
  ) throws -> Prompt {
    guard json.count <= maximumBytes else {
      throw EngineError.invalidPrompt(reason: "the JSON document is too long")
    }
    let document: Document
    do {
      document = try JSONDecoder().decode(Document.self, from: Data(json))
    } catch let error as DecodingError {
      throw EngineError.invalidPrompt(reason: describe(error))
    }
    switch document {
    case .messages(let messages):
      var turns: [ChatMessage] = []
      for message in messages {
        guard let role = ChatMessage.Role(rawValue: message.role) else {
          throw EngineError.invalidPrompt(
            reason: "a message's role must be system, user or assistant"
          )
        }
        turns.append(ChatMessage(role: role, content: try message.content.parts(image)))
      }
      return .chat(turns)
    case .prompt(let items):
      var parts: [PromptPart] = []
      for item in items { parts.append(try item.part(image)) }
      return .interleaved(parts)
    }
  }

  private enum Document: Decodable {
    case messages([Message])
    case prompt([Item])

    private enum Key: CodingKey { case messages, prompt }

    init(from decoder: any Decoder) throws {
      guard let container = try? decoder.container(keyedBy: Key.self) else {
        self = .messages(try [Message](from: decoder))
        return
      }
      self =
        container.contains(.prompt)
        ? .prompt(try container.decode([Item].self, forKey: .prompt))
        : .messages(try container.decode([Message].self, forKey: .messages))
    }
  }

  private struct Message: Decodable {
    var role: String
    var content: MessageContent
  }

  private enum MessageContent: Decodable {
    case text(String)
    case parts([ContentPart])

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let text = try? container.decode(String.self) {
        self = .text(text)
      } else {
        self = .parts(try container.decode([ContentPart].self))
      }
    }

    func parts(_ image: (String) throws -> ImageInput) throws -> [PromptPart] {
      switch self {
      case .text(let text): return [.text(text)]
      case .parts(let contents):
        var parts: [PromptPart] = []
        for content in contents { parts.append(try content.part(image)) }
        return parts
      }
    }
  }

  private struct ContentPart: Decodable {
    struct ImageURL: Decodable { var url: String }

    var type: String
    var text: String?
    var imageURL: ImageURL?

    private enum CodingKeys: String, CodingKey {
      case type, text
      case imageURL = "image_url"
    }

    func part(_ image: (String) throws -> ImageInput) throws -> PromptPart {
      switch (type, text, imageURL) {
      case ("text", let text?, _): return .text(text)
      case ("image_url", _, let imageURL?): return .image(try image(imageURL.url))
      default:
        throw EngineError.invalidPrompt(
          reason: "a part must be {type: text, text} or {type: image_url, image_url: {url}}"
        )
      }
    }
  }

  private struct Item: Decodable {
    var text: String?
    var image: String?

    func part(_ load: (String) throws -> ImageInput) throws -> PromptPart {
      switch (text, image) {
      case (let text?, nil): return .text(text)
      case (nil, let image?): return .image(try load(image))
      default:
        throw EngineError.invalidPrompt(reason: "each item must have either text or image")
      }
    }
  }

  private static func describe(_ error: DecodingError) -> String {
    switch error {
    case .keyNotFound(let key, _): "the field \(key.stringValue) is missing"
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
      context.codingPath.last.map { "the field \($0.stringValue) has the wrong type" }
        ?? "it must be an array of messages or an object"
    case .dataCorrupted: "it is not valid JSON"
    @unknown default: "it is not valid JSON"
    }
  }
}
