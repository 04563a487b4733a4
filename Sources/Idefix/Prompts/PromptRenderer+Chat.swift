// The conversation template of the instruct models:
//   <s>User: text<end_of_utterance>\nAssistant: text<end_of_utterance>\nUser:…<end_of_utterance>\nAssistant:
// An image follows the colon directly. Models without `<end_of_utterance>` get the same turns on lines of their own.
// A conversation that ends with the assistant's turn leaves that turn open, to be continued.

extension PromptRenderer {
  /// The segments of a conversation, the assistant's turn opened.
  func chat(
    _ messages: [ChatMessage],
    escapesRoles: Bool
  ) throws(EngineError) -> [Segment] {
    guard !messages.isEmpty else { throw .invalidPrompt(reason: "it has no messages") }
    let special = tokenizer.specialTokens
    var segments: [Segment] = [.special(special.bos)]
    for (index, message) in messages.enumerated() {
      segments.append(.text((index > 0 ? "\n" : "") + message.role.name + ":"))
      segments += try content(of: message, escapesRoles: escapesRoles)
      if index == messages.count - 1, message.role == .assistant { return segments }
      if let end = special.endOfUtterance { segments.append(.special(end)) }
    }
    segments.append(.text("\n" + ChatMessage.Role.assistant.name + ":"))
    return segments
  }

  private func content(
    of message: ChatMessage,
    escapesRoles: Bool
  ) throws(EngineError) -> [Segment] {
    var segments: [Segment] = []
    var text = ""
    var lastWasImage = false
    func flush() {
      let run = Self.stripped(escapesRoles ? Self.escaped(text) : text)
      text = ""
      guard !run.isEmpty else { return }
      segments.append(.text(segments.isEmpty ? " " + run : run))
      lastWasImage = false
    }
    for part in message.content {
      switch part {
      case .text(let more): text += more
      case .image:
        flush()
        segments += try imageSegments(afterImage: lastWasImage)
        lastWasImage = true
      }
    }
    flush()
    return segments
  }

  /// Text whose lines cannot pose as another's turn: a space goes before a role at the start of a line.
  static func escaped(_ text: String) -> String {
    let roles = ChatMessage.Role.allCases.map { $0.name + ":" }
    return text.split(separator: "\n", omittingEmptySubsequences: false)
      .map { line in roles.contains { line.hasPrefix($0) } ? " " + line : String(line) }
      .joined(separator: "\n")
  }
}

extension ChatMessage.Role {
  /// The name as it stands in the prompt.
  var name: String {
    switch self {
    case .system: "System"
    case .user: "User"
    case .assistant: "Assistant"
    }
  }
}
