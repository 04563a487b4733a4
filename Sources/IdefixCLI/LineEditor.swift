// Line editing on a terminal: cursor keys, history, deletion, completion with Tab. Text is kept as
// characters, so that one key press removes one character whatever its bytes. What is pasted goes into the line with
// its line ends, and is not sent before Return is pressed. Falls back to plain lines where standard input is no terminal.

import Glibc

/// Reads edited lines from the terminal.
final class LineEditor {
  /// How a line ended.
  enum Input {
    /// Return.
    case line(String)
    /// Ctrl-C on a line: throw it away.
    case interrupted
    /// Ctrl-D on an empty line, or the end of a pipe.
    case end
  }

  /// Earlier lines, oldest first.
  private(set) var history: [String] = []
  /// Proposes whole lines for the text before the cursor.
  var completions: (String) -> [String] = { _ in [] }

  private static let historyLimit = 1000
  private let isTerminal = isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1

  // State of the line being edited.
  private var text: [Character] = []
  private var cursor = 0
  private var historyIndex = 0
  private var draft = ""
  private var prompt = ""

  /// Adds lines to the history without editing them.
  func remember(_ lines: [String]) {
    for line in lines where !line.isEmpty && line != history.last { history.append(line) }
    history.removeFirst(max(0, history.count - Self.historyLimit))
  }

  /// Reads one line, showing `prompt` before it.
  func read(_ prompt: String) -> Input {
    guard isTerminal else { return readLine().map(Input.line) ?? .end }
    var saved = termios()
    guard tcgetattr(STDIN_FILENO, &saved) == 0 else { return readLine().map(Input.line) ?? .end }
    var raw = saved
    raw.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG | IEXTEN)
    raw.c_iflag &= ~tcflag_t(IXON | ICRNL)
    tcsetattr(STDIN_FILENO, TCSADRAIN, &raw)
    // The terminal marks the ends of what is pasted from here on.
    Terminal.writeError("\u{1b}[?2004h")
    defer {
      Terminal.writeError("\u{1b}[?2004l")
      tcsetattr(STDIN_FILENO, TCSADRAIN, &saved)
    }

    self.prompt = prompt
    text = []
    cursor = 0
    historyIndex = history.count
    redraw()
    while true {
      if let input = handle(readKey()) {
        Terminal.writeError("\r\n")
        if case .line(let line) = input { remember([line]) }
        return input
      }
      redraw()
    }
  }

  /// Keeps what is typed from showing until the result is called.
  ///
  /// The next `read` gets it. Ctrl-C interrupts meanwhile.
  func hideInput() -> () -> Void {
    var saved = termios()
    guard isTerminal, tcgetattr(STDIN_FILENO, &saved) == 0 else { return {} }
    var hidden = saved
    hidden.c_lflag &= ~tcflag_t(ICANON | ECHO)
    tcsetattr(STDIN_FILENO, TCSADRAIN, &hidden)
    return { withUnsafePointer(to: saved) { _ = tcsetattr(STDIN_FILENO, TCSADRAIN, $0) } }
  }

  // MARK: Keys

  private enum Key {
    case character(Character)
    case pasted(String)
    case enter, tab, backspace, delete, left, right, up, down, home, end
    case wordLeft, wordRight, deleteWord, deleteToEnd, deleteLine, clearScreen
    case interrupt, endOfInput, ignored
  }

  private func readByte() -> UInt8? {
    var byte: UInt8 = 0
    while true {
      let count = Glibc.read(STDIN_FILENO, &byte, 1)
      if count == 1 { return byte }
      guard count < 0, errno == EINTR else { return nil }
    }
  }

  private func readKey() -> Key {
    guard let byte = readByte() else { return .endOfInput }
    switch byte {
    case 1: return .home
    case 2: return .left
    case 3: return .interrupt
    case 4: return text.isEmpty ? .endOfInput : .delete
    case 5: return .end
    case 6: return .right
    case 8, 127: return .backspace
    case 9: return .tab
    case 10, 13: return .enter
    case 11: return .deleteToEnd
    case 12: return .clearScreen
    case 14: return .down
    case 16: return .up
    case 21: return .deleteLine
    case 23: return .deleteWord
    case 27: return readEscape()
    case 0..<32: return .ignored
    default: return readCharacter(startingWith: byte)
    }
  }

  private func readEscape() -> Key {
    switch readByte() {
    case UInt8(ascii: "b"): return .wordLeft
    case UInt8(ascii: "f"): return .wordRight
    case UInt8(ascii: "["), UInt8(ascii: "O"): break
    default: return .ignored
    }
    var parameters = ""
    while let byte = readByte() {
      guard byte >= 0x40 else {
        parameters.unicodeScalars.append(Unicode.Scalar(byte))
        continue
      }
      switch byte {
      case UInt8(ascii: "A"): return .up
      case UInt8(ascii: "B"): return .down
      case UInt8(ascii: "C"): return parameters.hasSuffix("5") ? .wordRight : .right
      case UInt8(ascii: "D"): return parameters.hasSuffix("5") ? .wordLeft : .left
      case UInt8(ascii: "H"): return .home
      case UInt8(ascii: "F"): return .end
      case UInt8(ascii: "~"):
        switch parameters {
        case "1", "7": return .home
        case "3": return .delete
        case "4", "8": return .end
        case "200": return .pasted(readPaste())
        default: return .ignored
        }
      default: return .ignored
      }
    }
    return .ignored
  }

  /// The text up to the mark of its end, line ends as `\n`, without other control characters.
  private func readPaste() -> String {
    let end = Array("\u{1b}[201~".utf8)
    var bytes: [UInt8] = []
    while !bytes.suffix(end.count).elementsEqual(end), let byte = readByte() { bytes.append(byte) }
    let text = String(decoding: bytes.dropLast(end.count), as: UTF8.self)
      .replacing("\r\n", with: "\n").replacing("\r", with: "\n").replacing("\t", with: "  ")
    return String(text.filter { $0 == "\n" || ($0.unicodeScalars.first?.value ?? 0) >= 0x20 })
  }

  private func readCharacter(startingWith first: UInt8) -> Key {
    let length = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4
    var bytes = [first]
    while bytes.count < length, let byte = readByte() { bytes.append(byte) }
    guard let string = String(validating: bytes, as: UTF8.self), let character = string.first else {
      return .ignored
    }
    return .character(character)
  }

  // MARK: Editing

  private func handle(_ key: Key) -> Input? {
    switch key {
    case .enter: return .line(String(text))
    case .interrupt: return .interrupted
    case .endOfInput: return .end
    case .character(let character): insert(String(character))
    case .pasted(let text): insert(text)
    case .backspace where cursor > 0:
      cursor -= 1
      text.remove(at: cursor)
    case .delete where cursor < text.count: text.remove(at: cursor)
    case .left: cursor = max(0, cursor - 1)
    case .right: cursor = min(text.count, cursor + 1)
    case .home: cursor = 0
    case .end: cursor = text.count
    case .wordLeft: cursor = wordStart()
    case .wordRight: cursor = wordEnd()
    case .deleteWord:
      let start = wordStart()
      text.removeSubrange(start..<cursor)
      cursor = start
    case .deleteToEnd: text.removeSubrange(cursor...)
    case .deleteLine:
      text.removeSubrange(..<cursor)
      cursor = 0
    case .clearScreen: Terminal.writeError("\u{1b}[H\u{1b}[2J")
    case .up: recall(historyIndex - 1)
    case .down: recall(historyIndex + 1)
    case .tab: complete()
    case .backspace, .delete, .ignored: break
    }
    return nil
  }

  private func insert(_ string: String) {
    // A combining mark joins the character before it; the array must follow.
    let before = String(text[..<cursor])
    let joined = Array(before + string)
    text = joined + text[cursor...]
    cursor = joined.count
  }

  private func wordStart() -> Int {
    var index = cursor
    while index > 0, text[index - 1] == " " { index -= 1 }
    while index > 0, text[index - 1] != " " { index -= 1 }
    return index
  }

  private func wordEnd() -> Int {
    var index = cursor
    while index < text.count, text[index] == " " { index += 1 }
    while index < text.count, text[index] != " " { index += 1 }
    return index
  }

  private func recall(_ index: Int) {
    guard index >= 0, index <= history.count, index != historyIndex else { return }
    if historyIndex == history.count { draft = String(text) }
    historyIndex = index
    text = Array(index == history.count ? draft : history[index])
    cursor = text.count
  }

  private func complete() {
    let before = String(text[..<cursor])
    let proposals = completions(before)
    guard var common = proposals.first else { return }
    for proposal in proposals.dropFirst() {
      common = String(zip(common, proposal).prefix { $0 == $1 }.map(\.0))
    }
    if common.count > before.count {
      text = Array(common) + text[cursor...]
      cursor = common.count
    } else if proposals.count > 1 {
      let names = proposals.prefix(40).map { $0.split(separator: "/").last.map(String.init) ?? $0 }
      Terminal.writeError("\r\n" + names.joined(separator: "  ") + "\r\n")
    }
  }

  // MARK: Drawing

  /// Draws the part of the line around the cursor that fits the terminal.
  private func redraw() {
    var size = winsize()
    let known = ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0
    let width = max(2, (known ? Int(size.ws_col) : 80) - columns(prompt) - 1)
    var start = cursor
    var used = 0
    while start > 0, used + columns(String(text[start - 1])) <= width {
      start -= 1
      used += columns(String(text[start]))
    }
    var end = cursor
    var total = used
    while end < text.count, total + columns(String(text[end])) <= width {
      total += columns(String(text[end]))
      end += 1
    }
    let shown = String(text[start..<end].map { $0 == "\n" ? "⏎" : $0 })
    var output = "\r\u{1b}[K" + prompt + shown
    if total > used { output += "\u{1b}[\(total - used)D" }
    Terminal.writeError(output)
  }

  /// Terminal columns that `text` takes: two for East Asian wide characters and emoji, none for marks.
  private func columns(_ text: String) -> Int {
    text.reduce(0) { total, character in
      let isWide = character.unicodeScalars.contains { scalar in
        scalar.properties.isEmojiPresentation || Self.wideRanges.contains { $0 ~= scalar.value }
      }
      return total + (isWide ? 2 : 1)
    }
  }

  /// Hangul, CJK and full-width forms.
  private static let wideRanges: [ClosedRange<UInt32>] = [
    0x1100...0x115f, 0x2e80...0xa4cf, 0xac00...0xd7a3, 0xf900...0xfaff, 0xfe30...0xfe6f,
    0xff00...0xff60, 0xffe0...0xffe6, 0x20000...0x3fffd,
  ]
}
