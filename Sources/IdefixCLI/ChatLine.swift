// What a line typed into a chat means.

import Foundation

/// One line of a chat: something to say, or a command.
enum ChatLine {
  case empty
  case text(String)
  case image(String)
  case save(String)
  case load(String)
  case clear, undo, regenerate, stats, help, quit
  case unknown(String)
  /// A command without the path that it needs.
  case incomplete(String)

  /// Reads a line; commands begin with a slash.
  init(_ line: String) {
    let trimmed = line.trimmingCharacters(in: .whitespaces)
    guard trimmed.hasPrefix("/") else {
      self = trimmed.isEmpty ? .empty : .text(trimmed)
      return
    }
    let parts = trimmed.dropFirst().split(separator: " ", maxSplits: 1).map(String.init)
    let name = parts.first ?? ""
    let path = (parts.count > 1 ? parts[1] : "").trimmingCharacters(
      in: CharacterSet(charactersIn: "\"' ")
    )
    switch name {
    case "image" where !path.isEmpty: self = .image(path)
    case "save" where !path.isEmpty: self = .save(path)
    case "load" where !path.isEmpty: self = .load(path)
    case "image", "save", "load": self = .incomplete(name)
    case "clear": self = .clear
    case "undo": self = .undo
    case "regen": self = .regenerate
    case "stats": self = .stats
    case "help", "?": self = .help
    case "quit", "exit", "bye": self = .quit
    default: self = .unknown(name)
    }
  }

  static let instructions = """
    /image PATH   show the model an image, a file or a web address, with your next message
    /clear        forget everything
    /undo         take back your last message and its answer
    /regen        answer the last message again
    /save FILE    keep the conversation as JSON
    /load FILE    go on with a kept conversation
    /stats        tokens and speed so far
    Tab completes commands and paths. Ctrl-C stops an answer; Ctrl-D or /quit leaves.

    """

  private static let commands = [
    "/image ", "/clear", "/undo", "/regen", "/save ", "/load ", "/stats", "/help", "/quit",
  ]

  /// Whole lines that `text` could become: commands, then paths behind those that take one.
  static func completions(_ text: String) -> [String] {
    guard text.hasPrefix("/") else { return [] }
    guard let space = text.firstIndex(of: " ") else {
      return commands.filter { $0.hasPrefix(text) }
    }
    let command = text[...space]
    let path = String(text[text.index(after: space)...])
    let slash = path.lastIndex(of: "/")
    let folder = slash.map { String(path[...$0]) } ?? ""
    let stem = slash.map { String(path[path.index(after: $0)...]) } ?? path
    let expanded = (folder as NSString).expandingTildeInPath
    let files = FileManager.default
    let names = (try? files.contentsOfDirectory(atPath: expanded.isEmpty ? "." : expanded)) ?? []
    return names.filter { $0.hasPrefix(stem) && (!$0.hasPrefix(".") || stem.hasPrefix(".")) }
      .sorted()
      .map { name in
        var isFolder: ObjCBool = false
        let full = expanded.isEmpty ? name : expanded + "/" + name
        _ = files.fileExists(atPath: full, isDirectory: &isFolder)
        return command + folder + name + (isFolder.boolValue ? "/" : "")
      }
  }
}
