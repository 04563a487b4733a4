// One `.safetensors` file: the header, validated whole before anything of it is trusted.
// Rules, each with its own error: header size bounded and within the file; strict JSON without
// duplicate keys; known element types; at most 8 positive dimensions whose product does not overflow;
// sizes that agree with them; data without holes, overlaps or misalignment that ends where the file ends.

import JSONText
import Tensors

/// A tensor of a checkpoint: where its elements lie.
public struct CheckpointTensor: Sendable, Hashable {
  /// Name in the checkpoint.
  public let name: String
  /// Element type.
  public let dtype: DType
  /// Extents.
  public let shape: Shape
  /// Absolute offset of the first byte within its file.
  public let offset: Int
  /// Bytes of all elements.
  public let byteCount: Int
}

/// A validated safetensors file.
public final class Safetensors: Sendable {
  /// Largest header that is read: 30 times what the largest published model needs.
  public static let maximumHeaderBytes = 4 << 20
  /// Most tensors, and most texts of `__metadata__`: each takes more memory than header.
  public static let maximumEntries = 1 << 14
  /// Most dimensions of a tensor.
  public static let maximumRank = 8

  /// The open file.
  public let file: InputFile
  /// Tensors in the order of their data.
  public let tensors: [CheckpointTensor]
  /// The free-form texts of `__metadata__`.
  public let metadata: [String: String]

  /// Opens and validates the file at `path`; reads nothing but its header.
  public init(path: String) throws(WeightFileError) {
    file = try InputFile(path: path)
    guard file.size >= 10 else {
      throw .malformed(path: path, reason: "is no safetensors file: only \(file.size) bytes long")
    }
    var reader = ByteReader(try file.bytes(at: 0, count: 8))
    let length = (try? reader.integer(UInt64.self)) ?? 0
    guard length >= 2, length <= UInt64(Self.maximumHeaderBytes) else {
      throw .malformed(
        path: path,
        reason: "is no safetensors file: a header of \(length) bytes is not plausible"
      )
    }
    guard Int(length) <= file.size - 8 else {
      throw .malformed(path: path, reason: "is truncated: its header ends beyond its end")
    }
    let header = try file.bytes(at: 8, count: Int(length))
    guard header.first == UInt8(ascii: "{") else {
      throw .malformed(path: path, reason: "is no safetensors file: its header is not JSON")
    }
    var parsed = ParsedHeader()
    do {
      try parsed.read(header)
    } catch {
      throw .malformed(path: path, reason: "has a damaged header: \(error)")
    }
    metadata = parsed.metadata
    tensors = try Self.validated(
      parsed.records,
      path: path,
      dataStart: 8 + Int(length),
      size: file.size
    )
  }

  private static func validated(
    _ records: [ParsedHeader.Record],
    path: String,
    dataStart: Int,
    size: Int
  ) throws(WeightFileError) -> [CheckpointTensor] {
    var cursor = 0
    var tensors: [CheckpointTensor] = []
    tensors.reserveCapacity(records.count)
    for record in records.sorted(by: { ($0.begin, $0.end) < ($1.begin, $1.end) }) {
      func bad(_ reason: String) -> WeightFileError {
        .badTensor(path: path, tensor: record.name, reason: reason)
      }
      guard let dtype = DType(rawValue: record.dtype) else {
        throw bad("has the unknown element type \(WeightFileError.quoted(record.dtype))")
      }
      guard record.dimensions.count <= maximumRank else {
        throw bad("has \(record.dimensions.count) dimensions, more than \(maximumRank)")
      }
      guard record.dimensions.allSatisfy({ $0 > 0 }) else { throw bad("has a zero dimension") }
      guard let shape = Shape(record.dimensions), let bytes = shape.byteCount(of: dtype) else {
        throw bad("has dimensions whose product overflows")
      }
      guard record.begin <= record.end, record.end - record.begin == bytes else {
        throw bad("spans bytes \(record.begin)..<\(record.end), but its shape needs \(bytes)")
      }
      guard record.end <= size - dataStart else {
        throw bad("ends at byte \(record.end) of data, but the file is truncated before it")
      }
      guard record.begin >= cursor else { throw bad("overlaps the tensor before it") }
      guard record.begin == cursor else { throw bad("leaves a hole in the data before it") }
      guard record.begin % dtype.byteWidth == 0 else { throw bad("is misaligned") }
      cursor = record.end
      tensors.append(
        CheckpointTensor(
          name: record.name,
          dtype: dtype,
          shape: shape,
          offset: dataStart + record.begin,
          byteCount: bytes
        )
      )
    }
    guard cursor == size - dataStart else {
      throw .malformed(
        path: path,
        reason: "has \(size - dataStart - cursor) bytes after its last tensor"
      )
    }
    return tensors
  }
}

/// The header as written, before any rule but those of JSON has been applied.
private struct ParsedHeader {
  /// One entry.
  struct Record {
    var name: String
    var dtype = ""
    var dimensions: [Int] = []
    var begin = 0
    var end = 0
  }

  var records: [Record] = []
  var metadata: [String: String] = [:]

  mutating func read(_ bytes: [UInt8]) throws(JSONError) {
    var scanner = JSONScanner(bytes)
    var records: [Record] = []
    var metadata: [String: String] = [:]
    try scanner.object { (scanner, key) throws(JSONError) in
      if key == "__metadata__" {
        try scanner.object { (scanner, name) throws(JSONError) in
          try Self.check(metadata.count, "texts", scanner)
          metadata[name] = try scanner.string()
        }
      } else {
        try Self.check(records.count, "tensors", scanner)
        records.append(try Self.record(key, &scanner))
      }
    }
    try scanner.end()
    self.records = records
    self.metadata = metadata
  }

  private static func check(
    _ count: Int,
    _ what: String,
    _ scanner: JSONScanner
  ) throws(JSONError) {
    guard count < Safetensors.maximumEntries else {
      throw scanner.error("more than \(Safetensors.maximumEntries) \(what)")
    }
  }

  private static func record(
    _ name: String,
    _ scanner: inout JSONScanner
  ) throws(JSONError) -> Record {
    var record = Record(name: name)
    var fields: Set<String> = []
    try scanner.object { (scanner, field) throws(JSONError) in
      fields.insert(field)
      switch field {
      case "dtype": record.dtype = try scanner.string()
      case "shape":
        try scanner.array { (scanner) throws(JSONError) in
          guard record.dimensions.count < 64 else { throw scanner.error("more than 64 dimensions") }
          record.dimensions.append(try scanner.count())
        }
      case "data_offsets":
        var offsets: [Int] = []
        try scanner.array { (scanner) throws(JSONError) in
          guard offsets.count < 2 else { throw scanner.error("more than two data_offsets") }
          offsets.append(try scanner.count())
        }
        guard offsets.count == 2 else { throw scanner.error("fewer than two data_offsets") }
        (record.begin, record.end) = (offsets[0], offsets[1])
      default: throw scanner.error("unknown field \(WeightFileError.quoted(field))")
      }
    }
    guard fields.count == 3 else { throw scanner.error("a tensor lacks one of its three fields") }
    return record
  }
}
