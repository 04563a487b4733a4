// Stored distributions of a reference model, so that others can be compared without it:
//   "IDXDIST1", u32 length of the header, header (JSON), then records in any order:
//   u32 bytes of the id, u32 tokens n, the id, n × i32 token ids, n × vocabulary × f32 natural log-probabilities.
// All little-endian. A record that was cut off is dropped. Every length is checked against the file's.

import Foundation

/// The distributions at the counted places of one item.
public struct StoredDistributions: Sendable, Equatable {
  /// The text's own tokens at these places.
  public var tokens: [Int32]
  /// For each place, natural log-probabilities over the vocabulary.
  public var distributions: [[Float]]

  /// Distributions of some places.
  public init(tokens: [Int32], distributions: [[Float]]) {
    self.tokens = tokens
    self.distributions = distributions
  }
}

/// What a file of distributions belongs to.
public struct DistributionHeader: Codable, Sendable, Equatable {
  /// The run: what was scored, and by which model.
  public var run: RunHeader
  /// Name of the model.
  public var model: String
  /// Recipe of the model.
  public var recipe: String
  /// Ids of the vocabulary.
  public var vocabulary: Int

  /// A header.
  public init(run: RunHeader, model: String, recipe: String, vocabulary: Int) {
    self.run = run
    self.model = model
    self.recipe = recipe
    self.vocabulary = vocabulary
  }
}

/// A file of distributions, open for reading.
public struct DistributionFile: Sendable {
  fileprivate static let magic = Array("IDXDIST1".utf8)
  private static let headerLimit = 1 << 20
  private static let idLimit = 1 << 12

  /// What it belongs to.
  public let header: DistributionHeader
  /// Identifiers of the items it has.
  public var ids: Set<String> { Set(records.keys) }
  /// Place in the file after the last complete record.
  let end: Int
  private let path: String
  private let records: [String: (offset: Int, count: Int)]

  /// Opens a file and finds its records; their contents are read when asked for.
  public init(_ path: String) throws(EvaluationError) {
    guard FileManager.default.fileExists(atPath: path) else { throw .noSuchFile(path: path) }
    let invalid = EvaluationError.invalidData(
      path: path,
      line: nil,
      reason: "it is not a file of reference distributions"
    )
    self.path = path
    do {
      let handle = try FileHandle(forReadingFrom: URL(filePath: path))
      let size = Int(try handle.seekToEnd())
      try handle.seek(toOffset: 0)
      let start = Array(try handle.read(upToCount: 12) ?? Data())
      guard start.count == 12, start.starts(with: Self.magic) else { throw invalid }
      let length = Self.word(start, 8)
      guard length <= Self.headerLimit, let json = try handle.read(upToCount: length),
        json.count == length
      else { throw invalid }
      header = try JSONRow.decode(DistributionHeader.self, json, path: path, line: 1)
      guard (1...(1 << 24)).contains(header.vocabulary) else { throw invalid }
      var found: [String: (offset: Int, count: Int)] = [:]
      var offset = 12 + length
      while size - offset >= 8 {
        try handle.seek(toOffset: UInt64(offset))
        let lengths = Array(try handle.read(upToCount: 8) ?? Data())
        guard lengths.count == 8 else { break }
        let idLength = Self.word(lengths, 0)
        let count = Self.word(lengths, 4)
        guard idLength <= Self.idLimit, count <= size / 4 else { throw invalid }
        let next = offset + 8 + idLength + count * 4 * (1 + header.vocabulary)
        guard next <= size else { break }
        let name = try handle.read(upToCount: idLength) ?? Data()
        guard let id = String(validating: name, as: UTF8.self) else { throw invalid }
        found[id] = (offset + 8 + idLength, count)
        offset = next
      }
      records = found
      end = offset
    } catch let error as EvaluationError {
      throw error
    } catch {
      throw .unreadable(path: path)
    }
  }

  /// Number of places of an item; `nil` if the file does not have it.
  public func count(of id: String) -> Int? { records[id]?.count }

  /// The distributions of an item; `nil` if the file does not have it.
  public func distributions(of id: String) throws(EvaluationError) -> StoredDistributions? {
    guard let (offset, count) = records[id] else { return nil }
    let vocabulary = header.vocabulary
    let bytes: [UInt8]
    do {
      let handle = try FileHandle(forReadingFrom: URL(filePath: path))
      try handle.seek(toOffset: UInt64(offset))
      bytes = Array(try handle.read(upToCount: count * 4 * (1 + vocabulary)) ?? Data())
    } catch {
      throw .unreadable(path: path)
    }
    guard bytes.count == count * 4 * (1 + vocabulary) else {
      throw .invalidData(path: path, line: nil, reason: "the file was cut off while it was read")
    }
    let tokens = (0..<count).map { Int32(truncatingIfNeeded: Self.word(bytes, $0 * 4)) }
    let rows = (0..<count).map { row in
      (0..<vocabulary).map { column in
        Float(
          bitPattern: UInt32(
            truncatingIfNeeded: Self.word(bytes, 4 * (count + row * vocabulary + column))
          )
        )
      }
    }
    return StoredDistributions(tokens: tokens, distributions: rows)
  }

  private static func word(_ bytes: [UInt8], _ offset: Int) -> Int {
    Int(bytes[offset]) | Int(bytes[offset + 1]) << 8 | Int(bytes[offset + 2]) << 16
      | Int(bytes[offset + 3]) << 24
  }
}

/// A file of distributions that is being written: under another name until it is complete.
public final class DistributionWriter: ResultStore {
  private let path: String
  private let handle: FileHandle
  private let vocabulary: Int
  private var written: Set<String>

  /// Starts a file, or goes on with what an interrupted run with the same header left.
  public init(path: String, header: DistributionHeader) throws(EvaluationError) {
    self.path = path
    vocabulary = header.vocabulary
    let partial = Self.partial(path)
    var end = 0
    var ids: Set<String> = []
    if FileManager.default.fileExists(atPath: partial),
      let found = try? DistributionFile(partial), found.header == header
    {
      end = found.end
      ids = found.ids
    }
    written = ids
    do {
      if end == 0 {
        let json = try JSONEncoder().encode(header)
        var start = Data(DistributionFile.magic)
        start.append(contentsOf: Self.bytes(UInt32(json.count)))
        start.append(json)
        try start.write(to: URL(filePath: partial))
      }
      handle = try FileHandle(forUpdating: URL(filePath: partial))
      if end > 0 { try handle.truncate(atOffset: UInt64(end)) }
      try handle.seekToEnd()
    } catch {
      throw .unwritable(path: partial)
    }
  }

  /// Whether an item is in the file.
  public func contains(_ id: String) -> Bool { written.contains(id) }

  /// Writes the distributions of an item.
  public func append(_ record: StoredDistributions, id: String) throws(EvaluationError) {
    precondition(record.distributions.allSatisfy { $0.count == vocabulary })
    let name = Array(id.utf8)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(8 + name.count + record.tokens.count * 4 * (1 + vocabulary))
    bytes += Self.bytes(UInt32(name.count)) + Self.bytes(UInt32(record.tokens.count)) + name
    for token in record.tokens { bytes += Self.bytes(UInt32(bitPattern: token)) }
    for row in record.distributions {
      for value in row {
        let bits = value.bitPattern
        bytes.append(UInt8(truncatingIfNeeded: bits))
        bytes.append(UInt8(truncatingIfNeeded: bits >> 8))
        bytes.append(UInt8(truncatingIfNeeded: bits >> 16))
        bytes.append(UInt8(truncatingIfNeeded: bits >> 24))
      }
    }
    do {
      try handle.write(contentsOf: Data(bytes))
    } catch {
      throw .unwritable(path: path)
    }
    written.insert(id)
  }

  /// Gives the complete file its name.
  public func finish() throws(EvaluationError) {
    do {
      try handle.synchronize()
      try handle.close()
    } catch {
      throw .unwritable(path: path)
    }
    try AtomicFile.rename(Self.partial(path), to: path)
  }

  private static func partial(_ path: String) -> String { path + ".partial" }

  private static func bytes(_ value: UInt32) -> [UInt8] {
    [
      UInt8(truncatingIfNeeded: value), UInt8(truncatingIfNeeded: value >> 8),
      UInt8(truncatingIfNeeded: value >> 16), UInt8(truncatingIfNeeded: value >> 24),
    ]
  }
}
