// Log lines as one JSON object each on standard error, for machines that collect them.

import Foundation
import Logging

/// Writes each log event as one line of JSON to standard error.
public struct JSONLogHandler: LogHandler {
  /// Fields of every event of this logger.
  public var metadata: Logger.Metadata = [:]
  /// Events below this level are dropped.
  public var logLevel = Logger.Level.info
  private let label: String

  /// A handler for the logger `label`.
  public init(label: String) { self.label = label }

  /// A field of every event of this logger.
  public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  /// Writes one event.
  public func log(event: LogEvent) {
    FileHandle.standardError.write(Data(line(for: event).utf8))
  }

  /// The event as a line of JSON.
  package func line(for event: LogEvent) -> String {
    var fields = metadata.merging(event.metadata ?? [:]) { $1 }.mapValues(Field.init)
    fields["time"] = .text(Date.now.formatted(.iso8601))
    fields["level"] = .text(event.level.rawValue)
    fields["logger"] = .text(label)
    fields["message"] = .text("\(event.message)")
    guard let data = try? JSONEncoder.encodeReply(fields) else { return "" }
    return String(decoding: data, as: UTF8.self) + "\n"
  }

  /// A field as JSON has it: what was logged as an integer is a number, so that it can be added up.
  private enum Field: Encodable {
    case number(Int)
    case text(String)

    init(_ value: Logger.Metadata.Value) {
      if case .stringConvertible(let value) = value, let number = value as? Int {
        self = .number(number)
      } else {
        self = .text("\(value)")
      }
    }

    func encode(to encoder: any Encoder) throws {
      var container = encoder.singleValueContainer()
      switch self {
      case .number(let number): try container.encode(number)
      case .text(let text): try container.encode(text)
      }
    }
  }
}
