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
      Inside: /image PATH, /clear, /undo, /regen, /save FILE, /load FILE, /stats, /help; Ctrl-C stops \
      an answer, Ctrl-D leaves.

      Example: idefix chat idefics-9b-instruct.idfx --image dog.jpg
      """
  )

  @Argument(
    help: "A model file (.idfx; default: $IDEFIX_MODEL or the demo model).",
    completion: .file(extensions: ["idfx"])
  )
  var modelPath: String?

  @Option(
    name: .customLong("image"),
    help: ArgumentHelp("An image to start with; may be repeated.", valueName: "path-or-url"),
    completion: .file()
  )
  var images: [String] = []

  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Model") var model: ModelArguments

  func execute() async throws {
    let conversation = ChatConversation()
    for source in images { try await conversation.attach(source) }
    let engine = try await model.loadEngine(modelPath)

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
      let images = conversation.pendingImages
      switch editor.read(images > 0 ? "[\(images) image\(images == 1 ? "" : "s")] > " : "> ") {
      case .end: break loop
      case .interrupted: Terminal.writeError("Ctrl-D or /quit leaves.\n")
      case .line(let line):
        history.append(line)
        do {
          guard try await handle(ChatLine(line), conversation, engine, editor) else { break loop }
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
    _ engine: Engine,
    _ editor: LineEditor
  ) async throws -> Bool {
    switch line {
    case .empty: break
    case .quit: return false
    case .help: Terminal.writeError(ChatLine.instructions)
    case .image(let source): try await conversation.attach(source)
    case .clear:
      conversation.clear()
      tell("Everything is forgotten.")
    case .undo: tell(conversation.undo() ? "The last message is taken back." : "There is none.")
    case .stats: Terminal.writeError(conversation.statistics(limit: engine.info.contextTokens))
    case .save(let path):
      try conversation.save(to: path)
      tell("\(conversation.messages) messages are kept in \(path).")
    case .load(let path):
      try await conversation.load(from: path)
      tell("The conversation has \(conversation.messages) messages.")
    case .regenerate:
      guard conversation.dropAnswer() else {
        throw CommandFailure(.usage, "There is no answer to make again.")
      }
      try await answer(conversation, engine, editor)
    case .text(let text):
      conversation.say(text)
      try await answer(conversation, engine, editor)
    case .unknown(let name):
      throw CommandFailure(.usage, "There is no command /\(name); /help lists them.")
    case .incomplete(let name):
      throw CommandFailure(.usage, "/\(name) needs a path behind it.")
    }
    return true
  }

  private func tell(_ text: String) {
    if !model.quiet { Terminal.writeError(text + "\n") }
  }

  /// Streams the answer to the conversation so far; Ctrl-C ends it and keeps what there is.
  ///
  /// Without an answer the question is taken back, its images wait for the next message again.
  private func answer(
    _ conversation: ChatConversation,
    _ engine: Engine,
    _ editor: LineEditor
  ) async throws {
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
    let showInput = editor.hideInput()
    defer {
      showInput()
      interrupts.restore()
    }
    do {
      let (text, result) = try await work.value
      Terminal.write("\n")
      guard result != nil || !text.isEmpty else { throw CancellationError() }
      conversation.hear(text, result: result)
      guard result != nil else { return tell("Stopped; the answer stays as far as it came.") }
      if let line = conversation.status(limit: engine.info.contextTokens) { tell(line) }
    } catch is CancellationError {
      conversation.dropQuestion()
      tell("Stopped; your message is taken back.")
    } catch {
      conversation.dropQuestion()
      throw conversation.naming(error)
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
    return text.split(separator: "\n").suffix(1000).map {
      String($0).replacing("\u{2028}", with: "\n")
    }
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
    // A message of several lines stays one line of the file.
    try? handle.write(contentsOf: Data((line.replacing("\n", with: "\u{2028}") + "\n").utf8))
    try? handle.close()
  }
}
