// What a user asks: text and images in order, or a conversation. Plain values: rendering them to token
// ids is PromptRenderer's work, reading them from JSON PromptJSON's, from markdown MarkdownPrompt's.

import WeightFiles

/// An image of a prompt.
public struct ImageInput: Sendable, Equatable {
  /// The two ways to give an image.
  public enum Content: Sendable, Equatable {
    /// The bytes of a JPEG, PNG, WebP or GIF file.
    case encoded([UInt8])
    /// Normalised pixels `[3, size, size]`, as the processor makes them.
    case pixels([Float])
  }

  /// The image itself.
  public var content: Content

  /// An image file's bytes.
  public static func encoded(_ bytes: [UInt8]) -> ImageInput { .init(content: .encoded(bytes)) }

  /// Largest image file that is read, in bytes.
  public static let maximumFileBytes = 256 << 20

  /// The bytes of the image file at `path`.
  ///
  /// - Throws: What the file system said. Whether it is an image is found out by the request.
  public static func file(_ path: String) throws -> ImageInput {
    .encoded(try InputFile.contents(of: path, limit: maximumFileBytes))
  }

  /// Pixels that were processed already: `[3, size, size]`.
  public static func pixels(_ values: [Float]) -> ImageInput { .init(content: .pixels(values)) }
}

/// One piece of a prompt.
public enum PromptPart: Sendable, Equatable {
  /// Text; special tokens in it are plain text unless the prompt says otherwise.
  case text(String)
  /// An image.
  case image(ImageInput)
}

/// One turn of a conversation.
public struct ChatMessage: Sendable, Equatable {
  /// Who speaks.
  public enum Role: String, Sendable, CaseIterable {
    /// Instructions before the first turn.
    case system
    /// The person.
    case user
    /// The model.
    case assistant
  }

  /// Who speaks.
  public var role: Role
  /// What is said, in order.
  public var content: [PromptPart]

  /// A turn of several parts.
  public init(role: Role, content: [PromptPart]) {
    self.role = role
    self.content = content
  }

  /// A turn of text only.
  public init(role: Role, text: String) { self.init(role: role, content: [.text(text)]) }
}

/// A prompt: interleaved parts exactly as the Hugging Face processor takes them, a conversation, or token ids.
public struct Prompt: Sendable, Equatable {
  /// The shapes of a prompt.
  public enum Content: Sendable, Equatable {
    /// Parts in order, with no turns around them.
    case interleaved([PromptPart])
    /// Turns; the instruct template is put around them and the assistant's turn is opened.
    case chat([ChatMessage])
    /// Token ids as they are, `<s>` included; ids of image tokens are refused.
    case tokens([Int32])
  }

  /// What is asked.
  public var content: Content
  /// Whether `<end_of_utterance>`, `</s>` and the like in text are tokens.
  ///
  /// `<image>` in text is refused then.
  public var parsesSpecialTokens = false
  /// Interleaved only: `<end_of_utterance>` between adjacent texts; `nil`: if the tokenizer has that token.
  public var insertsEndOfUtterance: Bool?
  /// Interleaved only: ends the prompt with `</s>`.
  public var appendsEOS = false
  /// Chat only: breaks up `\nUser:` and `\nAssistant:` inside a message, so that it cannot pose as a turn.
  public var escapesRoles = false

  /// A prompt of any shape.
  public init(_ content: Content) { self.content = content }

  /// Parts in order, with no turns around them.
  public static func interleaved(_ parts: [PromptPart]) -> Prompt { Prompt(.interleaved(parts)) }

  /// A conversation, answered by the assistant.
  public static func chat(_ messages: [ChatMessage]) -> Prompt { Prompt(.chat(messages)) }

  /// Images in order.
  public var images: [ImageInput] {
    let parts: [PromptPart] =
      switch content {
      case .interleaved(let parts): parts
      case .chat(let messages): messages.flatMap(\.content)
      case .tokens: []
      }
    return parts.compactMap { if case .image(let image) = $0 { image } else { nil } }
  }
}
