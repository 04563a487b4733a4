// Results as they come, one JSON line each, so that an interrupted run goes on where it stopped. The first line says
// what the results belong to; a line that was cut off is dropped.

import Foundation

/// What results belong to: the same header, the same results.
public struct RunHeader: Codable, Sendable, Equatable {
  /// Name of the evaluation.
  public var evaluation: String
  /// Fingerprint of the model.
  public var model: String
  /// Everything else that decides the results.
  public var settings: [String: String]

  /// A header.
  public init(evaluation: String, model: String, settings: [String: String]) {
    self.evaluation = evaluation
    self.model = model
    self.settings = settings
  }
}

/// A file of results.
public final class ResultsLog<Record: Codable & Sendable>: ResultStore {
  private struct Row: Codable {
    var id: String
    var result: Record
  }

  /// Results by item.
  public private(set) var records: [String: Record] = [:]
  private let path: String?
  private var handle: FileHandle?

  /// A log that is kept in memory only.
  public init() { path = nil }

  /// Opens a log; results of an earlier run with the same header are taken over.
  ///
  /// - Throws: If the file holds results of something else, unless it is to be started anew.
  public init(path: String, header: RunHeader, startsAnew: Bool) throws(EvaluationError) {
    self.path = path
    var end = 0
    if FileManager.default.fileExists(atPath: path), !startsAnew {
      end = try readBack(path, header)
    }
    do {
      if end == 0 { try Data(Self.line(header)).write(to: URL(filePath: path)) }
      let handle = try FileHandle(forUpdating: URL(filePath: path))
      if end > 0 { try handle.truncate(atOffset: UInt64(end)) }
      try handle.seekToEnd()
      self.handle = handle
    } catch {
      throw .unwritable(path: path)
    }
  }

  /// Whether an item has a result already.
  public func contains(_ id: String) -> Bool { records[id] != nil }

  /// Adds a result; it is in the file when this returns.
  public func append(_ record: Record, id: String) throws(EvaluationError) {
    records[id] = record
    guard let handle, let path else { return }
    do {
      try handle.write(contentsOf: Data(Self.line(Row(id: id, result: record))))
    } catch {
      throw .unwritable(path: path)
    }
  }

  /// Reads the complete lines; returns where they end, 0 if not even the header is complete.
  private func readBack(_ path: String, _ header: RunHeader) throws(EvaluationError) -> Int {
    var reader = try LineReader(path)
    var end = 0
    while let (bytes, number) = try reader.next() {
      // The last line may be cut off; a complete one ends with a line break.
      guard reader.endedWithLineBreak else { break }
      if number == 1 {
        let found = try JSONRow.decode(RunHeader.self, Data(bytes), path: path, line: 1)
        guard found == header else {
          throw .mismatch(path: path, reason: Self.difference(found, header))
        }
      } else {
        let row = try JSONRow.decode(Row.self, Data(bytes), path: path, line: number)
        records[row.id] = row.result
      }
      end = reader.offset
    }
    return end
  }

  private static func difference(_ found: RunHeader, _ header: RunHeader) -> String {
    if found.evaluation != header.evaluation { return "it holds results of \(found.evaluation)" }
    if found.model != header.model { return "it holds results of another model" }
    let names = Set(found.settings.keys).union(header.settings.keys).sorted()
    let name = names.first { found.settings[$0] != header.settings[$0] } ?? ""
    return "it was made with another \(name)"
  }

  private static func line(_ value: some Encodable) throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    encoder.nonConformingFloatEncodingStrategy = .convertToString(
      positiveInfinity: "inf",
      negativeInfinity: "-inf",
      nan: "nan"
    )
    return Array(try encoder.encode(value)) + [UInt8(ascii: "\n")]
  }
}
