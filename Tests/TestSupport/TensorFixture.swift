// Named arrays of a trusted safetensors fixture, read without the room that is under test.

import Foundation

/// A small safetensors file in memory.
public struct TensorFixture {
  private struct Entry: Decodable {
    var dtype: String
    var shape: [Int]
    var offsets: [Int]

    private enum CodingKeys: String, CodingKey {
      case dtype, shape
      case offsets = "data_offsets"
    }
  }

  /// A tensor that is not there or has another type.
  public struct Missing: Error {
    /// The tensor.
    public let name: String
  }

  private let entries: [String: Entry]
  private let data: [UInt8]

  /// Reads a fixture by name.
  public init(_ name: String) throws {
    let bytes = try Fixture.bytes(name)
    let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    var header = try JSONDecoder().decode(
      [String: EntryOrMetadata].self,
      from: Data(bytes[8..<(8 + length)])
    )
    header["__metadata__"] = nil
    entries = header.compactMapValues(\.entry)
    data = Array(bytes[(8 + length)...])
  }

  private struct EntryOrMetadata: Decodable {
    var entry: Entry?
    init(from decoder: any Decoder) throws { entry = try? Entry(from: decoder) }
  }

  /// Shape of a tensor.
  public func shape(_ name: String) throws -> [Int] {
    guard let entry = entries[name] else { throw Missing(name: name) }
    return entry.shape
  }

  /// Elements of a float32 tensor, row-major.
  public func floats(_ name: String) throws -> [Float] {
    try words(name, dtype: "F32", width: 4).map { Float(bitPattern: UInt32($0)) }
  }

  /// Elements of an int64 tensor, row-major.
  public func integers(_ name: String) throws -> [Int] {
    try words(name, dtype: "I64", width: 8).map { Int(bitPattern: UInt($0)) }
  }

  private func words(_ name: String, dtype: String, width: Int) throws -> [UInt64] {
    guard let entry = entries[name], entry.dtype == dtype else { throw Missing(name: name) }
    return stride(from: entry.offsets[0], to: entry.offsets[1], by: width).map { start in
      data[start..<(start + width)].reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
  }
}
