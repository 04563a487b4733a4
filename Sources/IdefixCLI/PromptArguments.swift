// What to ask: images, a prompt, or a file with messages.

import ArgumentParser
import Foundation
import Idefix

/// The prompt of `run` and `score`.
struct PromptArguments: ParsableArguments {
  @Option(
    name: .customLong("image"),
    help: ArgumentHelp(
      "An image: a file (JPEG, PNG, WebP or GIF) or a web address; images precede the prompt, in order.",
      valueName: "path-or-url"
    ),
    completion: .file()
  )
  var images: [String] = []

  @Option(
    help: ArgumentHelp("Read the prompt from a file; - is standard input.", valueName: "path"),
    completion: .file()
  )
  var promptFile: String?

  @Option(
    help: ArgumentHelp(
      "OpenAI chat messages, or {\"prompt\": [{\"text\": …}, {\"image\": …}]}.",
      valueName: "path"
    ),
    completion: .file(extensions: ["json"])
  )
  var messages: String?

  @Flag(help: "Take ![](path) in the prompt as images.")
  var markdown = false

  @Flag(help: "No User/Assistant turn around the prompt of an instruct model.")
  var raw = false

  @Flag(help: "Take special tokens such as <end_of_utterance> in a raw prompt as tokens.")
  var parseSpecial = false

  func validate() throws {
    if messages != nil, promptFile != nil || markdown || raw || !images.isEmpty {
      throw ValidationError(
        "--messages holds the whole prompt; it excludes --image, --prompt-file, --markdown and --raw."
      )
    }
  }

  /// Reads the prompt and its images; `text` is the PROMPT argument, if there was one.
  func read(text: String?) async throws -> NamedPrompt {
    if let messages {
      guard text == nil else {
        throw CommandFailure(.usage, "--messages holds the whole prompt; PROMPT must not be given.")
      }
      return try await Self.read(messages: messages, parseSpecial: parseSpecial)
    }
    var parts: [PromptPart] = []
    var names = images
    let named = ImageLoader(isTrusted: true)
    for source in images { parts.append(.image(try await named.image(source))) }
    if let text = try promptFile.map(UserFile.text) ?? text {
      if markdown {
        for piece in MarkdownPrompt.pieces(of: text) {
          switch piece {
          case .text(let text): parts.append(.text(text))
          case .image(let source):
            names.append(source)
            parts.append(.image(try await ImageLoader().image(source)))
          }
        }
      } else {
        parts.append(.text(text))
      }
    }
    guard !parts.isEmpty else {
      throw CommandFailure(.usage, "There is nothing to ask: give a PROMPT, --image or --messages.")
    }
    var prompt = Prompt.interleaved(parts)
    prompt.parsesSpecialTokens = parseSpecial
    return NamedPrompt(prompt: prompt, imageNames: names, takesTurn: !raw)
  }

  /// Reads a file of messages or of a raw prompt; image paths are relative to it.
  static func read(messages path: String, parseSpecial: Bool = false) async throws -> NamedPrompt {
    let loader = ImageLoader(folder: URL(filePath: path).deletingLastPathComponent())
    var names: [String] = []
    do {
      var prompt = try await PromptJSON.prompt(from: UserFile.read(path)) { source in
        names.append(source)
        return try await loader.image(source)
      }
      prompt.parsesSpecialTokens = parseSpecial
      return NamedPrompt(prompt: prompt, imageNames: names, takesTurn: false)
    } catch EngineError.invalidPrompt(let reason) {
      throw CommandFailure(.data, "\(path) holds no messages: \(reason).")
    }
  }
}

/// A prompt that remembers where its images came from, so that an error can name the file.
struct NamedPrompt {
  let prompt: Prompt
  let imageNames: [String]
  /// Whether an instruct model gets a turn around it.
  let takesTurn: Bool

  /// The prompt as an instruct model takes it.
  var asTurn: Prompt {
    guard takesTurn, case .interleaved(let parts) = prompt.content else { return prompt }
    var turn = Prompt.chat([ChatMessage(role: .user, content: parts)])
    turn.parsesSpecialTokens = prompt.parsesSpecialTokens
    return turn
  }

  /// The same error, naming the file where it is about an image.
  func naming(_ error: any Error) -> any Error {
    guard case EngineError.invalidImage(let index, let reason) = error,
      imageNames.indices.contains(index)
    else { return error }
    let name = imageNames[index].hasPrefix("data:") ? "a data: URI" : imageNames[index]
    return CommandFailure(.data, "\(name) cannot be used: \(reason).")
  }
}

/// Model and prompt as they stand on the command line: `[MODEL] [PROMPT]`.
struct ModelAndPrompt {
  let model: String?
  let prompt: String?

  /// Two words are model and prompt; one word is a model if it ends in `.idfx`, else a prompt.
  init(_ words: [String]) throws {
    switch words.count {
    case 0: (model, prompt) = (nil, nil)
    case 1 where words[0].hasSuffix(".idfx"): (model, prompt) = (words[0], nil)
    case 1: (model, prompt) = (nil, words[0])
    case 2: (model, prompt) = (words[0], words[1])
    default: throw ValidationError("At most a MODEL and a PROMPT are expected; quote the prompt.")
    }
  }
}

/// Files named on the command line.
enum UserFile {
  /// Largest file taken whole: far beyond any image or prompt.
  private static let limit = 256 << 20

  /// The bytes of a file.
  static func read(_ path: String) throws -> [UInt8] {
    guard FileManager.default.fileExists(atPath: path) else {
      throw CommandFailure(.noInput, "There is no file \(path).")
    }
    do {
      let handle = try FileHandle(forReadingFrom: URL(filePath: path))
      return try bytes(of: handle, named: path)
    } catch let error as CommandFailure {
      throw error
    } catch {
      throw CommandFailure(.inputOutput, "\(path) cannot be read.")
    }
  }

  /// The UTF-8 text of a file; `-` is standard input.
  static func text(_ path: String) throws -> String {
    let bytes = path == "-" ? try readStandardInput() : try read(path)
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw CommandFailure(.data, "\(path) is not UTF-8 text.")
    }
    return text
  }

  /// Everything on standard input.
  static func readStandardInput() throws -> [UInt8] {
    try bytes(of: .standardInput, named: "Standard input")
  }

  private static func bytes(of handle: FileHandle, named name: String) throws -> [UInt8] {
    guard let data = try handle.read(upToCount: limit + 1) else { return [] }
    guard data.count <= limit else {
      throw CommandFailure(.data, "\(name) is larger than \(ByteCount(limit)).")
    }
    return Array(data)
  }
}
