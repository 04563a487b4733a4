// `idefix chat`: a conversation in the terminal. Ctrl-C stops an answer, not the program.

import ArgumentParser
import Foundation
import Idefix

/// Talks with the model.
struct ChatCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "chat",
    abstract: "Talk with the model about images.",
    discussion: """
      Inside: /image PATH, /clear, /undo, /regen, /save FILE, /load FILE, /stats, /help; Ctrl-C stops
      an answer, Ctrl-D leaves.

      Example: idefix chat idefics-9b-instruct.idfx --image dog.jpg
      """
  )

  @Argument(help: "A model file (.idfx; default: $IDEFIX_MODEL or the demo model).")
  var modelPath: String?

  @Option(name: .customLong("image"), help: "An image to start with; may be repeated.")
  var images: [String] = []

  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Model") var model: ModelArguments

  func execute() async throws {
    let engine = try await model.loadEngine(modelPath)
    let conversation = ChatConversation()
    for path in images { try conversation.attach(path) }

    let editor = LineEditor()
    editor.completions = ChatLine.completions
    let history = ChatHistory()
    editor.remember(history.load())
    if !model.quiet {
      Terminal.writeError("\(engine.info.name): /image PATH adds an image, /help tells the rest.\n")
      if !engine.info.isInstruct {
        Terminal.writeError("This is a base model: it continues text rather than answering.\n")
      }
    }
    loop: while true {
      let prompt =
        conversation.pendingImages > 0 ? "[\(conversation.pendingImages) image] > " : "> "
      switch editor.read(prompt) {
      case .end: break loop
      case .interrupted: continue
      case .line(let line):
        history.append(line)
        do {
          guard try await handle(ChatLine(line), conversation, engine) else { break loop }
        } catch {
          Terminal.writeError("\(error)\n")
        }
      }
    }
    await engine.shutDown()
  }

  /// Acts on one line; returns false to leave.
  private func handle(
    _ line: ChatLine,
    _ conversation: ChatConversation,
    _ engine: Engine
  ) async throws -> Bool {
    switch line {
    case .empty: break
    case .quit: return false
    case .help: Terminal.writeError(ChatLine.instructions)
    case .image(let path):
      try conversation.attach(path)
    case .clear: conversation.clear()
    case .undo: conversation.undo()
    case .stats: Terminal.writeError(conversation.statistics(limit: engine.info.contextTokens))
    case .save(let path): try conversation.save(to: path)
    case .load(let path): try conversation.load(from: path)
    case .regenerate:
      guard conversation.dropAnswer() else {
        throw CommandFailure(.usage, "There is no answer to make again.")
      }
      try await answer(conversation, engine)
    case .text(let text):
      conversation.say(text)
      try await answer(conversation, engine)
    case .unknown(let name):
      throw CommandFailure(.usage, "There is no command /\(name); /help lists them.")
    }
    return true
  }

  /// Streams the answer to the conversation so far; Ctrl-C ends it and keeps what there is.
  private func answer(_ conversation: ChatConversation, _ engine: Engine) async throws {
    let request = GenerationRequest(prompt: try conversation.prompt(), sampling: sampling.options)
    let quiet = model.quiet
    let work = Task { () -> (String, GenerationResult?) in
      let bar = ProgressBar("Looking", unit: .items("images"), isQuiet: quiet)
      var text = ""
      for try await event in engine.generate(request) {
        switch event {
        case .progress(.images(let done, let total)): bar.update(done: done, total: total)
        case .token(let token):
          bar.clear()
          let piece = text.isEmpty ? String(token.text.drop { $0 == " " }) : token.text
          text += piece
          Terminal.write(piece)
        case .finished(let result):
          return (text, result)
        case .started, .promptScored, .progress: break
        }
      }
      return (text, nil)
    }
    let interrupts = InterruptHandler { work.cancel() }
    defer { interrupts.restore() }
    do {
      let (text, result) = try await work.value
      Terminal.write("\n")
      conversation.hear(text, result: result)
      if !quiet, let line = conversation.status(limit: engine.info.contextTokens) {
        Terminal.writeError(line)
      }
    } catch is CancellationError {
      Terminal.write("\n")
      conversation.hear("", result: nil)
    } catch {
      conversation.dropQuestion()
      throw error
    }
  }
}

/// The lines of earlier chats, in `$XDG_STATE_HOME/idefix/history`, readable by the user only.
private struct ChatHistory {
  private let url: URL

  init() {
    let environment = ProcessInfo.processInfo.environment
    let state =
      environment["XDG_STATE_HOME"].map { URL(filePath: $0) }
      ?? FileManager.default.homeDirectoryForCurrentUser.appending(path: ".local/state")
    url = state.appending(path: "idefix/history")
  }

  func load() -> [String] {
    let text = (try? String(contentsOf: url, encoding: .utf8)) ?? ""
    return text.split(separator: "\n").suffix(1000).map(String.init)
  }

  /// Keeps a line; history is a convenience, so a read-only home is no error.
  func append(_ line: String) {
    guard !line.isEmpty else { return }
    let files = FileManager.default
    try? files.createDirectory(
      at: url.deletingLastPathComponent(),
      withIntermediateDirectories: true,
      attributes: [.posixPermissions: 0o700]
    )
    if !files.fileExists(atPath: url.path) {
      _ = files.createFile(atPath: url.path, contents: nil, attributes: [.posixPermissions: 0o600])
    }
    guard let handle = try? FileHandle(forWritingTo: url) else { return }
    _ = try? handle.seekToEnd()
    try? handle.write(contentsOf: Data((line + "\n").utf8))
    try? handle.close()
  }
}
