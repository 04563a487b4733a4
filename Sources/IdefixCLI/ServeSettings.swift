// The settings of `idefix serve` from three places: flags win over the environment, and that over a file.
// Refuses unknown names in the file and values that do not parse, naming the setting.

import Foundation

/// Settings by their long option names.
struct ServeSettings {
  /// Names a setting can have.
  static let names = [
    "host", "port", "api-key-file", "max-concurrent", "max-sequences", "max-images",
    "max-image-pixels", "max-body", "max-client-batch", "request-timeout", "allow-url-host",
    "prefix-pack", "share-cache", "escape-roles", "log-format", "log-level",
  ]

  /// A value: one text, which a list's entries share between commas, or the entries themselves.
  enum Value: Codable {
    case one(String)
    case many([String])

    init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if let text = try? container.decode(String.self) {
        self = .one(text)
      } else if let value = try? container.decode(Bool.self) {
        self = .one("\(value)")
      } else if let value = try? container.decode(Int.self) {
        self = .one("\(value)")
      } else {
        self = .many(try container.decode([String].self))
      }
    }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .one(let text): try container.encode(text)
      case .many(let texts): try container.encode(texts)
      }
    }
  }

  /// What was set anywhere.
  private var values: [String: Value] = [:]

  init(flags: [String: Value], environment: [String: String], file: String?) throws {
    if let file { values = try Self.read(file) }
    for name in Self.names {
      let variable = "IDEFIX_" + name.uppercased().replacing("-", with: "_")
      if let value = flags[name] ?? environment[variable].map(Value.one) { values[name] = value }
    }
  }

  /// A value as it is.
  func text(_ name: String) -> String? {
    switch values[name] {
    case nil: nil
    case .one(let text): text
    case .many(let texts): texts.joined(separator: ",")
    }
  }

  /// A whole number.
  func integer(_ name: String, in range: ClosedRange<Int>) throws -> Int? {
    guard let text = text(name) else { return nil }
    guard let value = Int(text), range.contains(value) else {
      throw CommandFailure(
        .usage,
        "\(name) must be between \(range.lowerBound) and \(range.upperBound), not \(text)."
      )
    }
    return value
  }

  /// A size such as `32M`.
  func byteCount(_ name: String) throws -> Int? {
    guard let text = text(name) else { return nil }
    guard let count = ByteCount(argument: text), count.bytes > 0 else {
      throw CommandFailure(.usage, "\(name) must be a size such as 32M, not \(text).")
    }
    return count.bytes
  }

  /// Yes or no; no if it was not set.
  func flag(_ name: String) throws -> Bool {
    switch text(name)?.lowercased() {
    case nil, "false", "0", "no": false
    case "true", "1", "yes": true
    default: throw CommandFailure(.usage, "\(name) must be true or false.")
    }
  }

  /// The entries of a list.
  func list(_ name: String) -> [String] {
    switch values[name] {
    case nil: []
    case .one(let text):
      text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
    case .many(let texts): texts
    }
  }

  /// One of the cases of an enumeration.
  func choice<Choice: RawRepresentable<String> & CaseIterable>(_ name: String) throws -> Choice? {
    guard let text = text(name) else { return nil }
    guard let choice = Choice(rawValue: text) else {
      let known = Choice.allCases.map(\.rawValue).joined(separator: ", ")
      throw CommandFailure(.usage, "\(name) must be one of \(known), not \(text).")
    }
    return choice
  }

  private static func read(_ path: String) throws -> [String: Value] {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw CommandFailure(.noInput, "There is no settings file \(path).")
    }
    guard let values = try? JSONDecoder().decode([String: Value].self, from: data) else {
      throw CommandFailure(.data, "\(path) is not a JSON object of settings.")
    }
    if let unknown = values.keys.sorted().first(where: { !names.contains($0) }) {
      throw CommandFailure(.data, "\(path): there is no setting \(unknown).")
    }
    return values
  }
}
