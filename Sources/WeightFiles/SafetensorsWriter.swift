// Writes a safetensors file of float32 tensors, header first, data as it comes. The counterpart of
// `Safetensors` for `export`; refuses data that does not fill the declared shapes.

import Tensors

/// A safetensors file in the making.
///
/// Confined to one thread at a time.
public final class SafetensorsWriter {
  private let output: OutputFile
  private let expectedBytes: Int

  /// Begins the file at `path`, which is emptied, with these tensors in this order.
  public init(
    path: String,
    tensors: [(name: String, shape: Shape)]
  ) throws(WeightFileError) {
    var entries = ["\"__metadata__\":{\"format\":\"pt\"}"]
    var offset = 0
    for (name, shape) in tensors {
      guard let bytes = shape.byteCount(of: .float32) else {
        throw .badTensor(path: path, tensor: name, reason: "is too large")
      }
      let dimensions = shape.dimensions.map(String.init).joined(separator: ",")
      entries.append(
        "\"\(name)\":{\"dtype\":\"F32\",\"shape\":[\(dimensions)],"
          + "\"data_offsets\":[\(offset),\(offset + bytes)]}"
      )
      offset += bytes
    }
    var header = Array("{\(entries.joined(separator: ","))}".utf8)
    while header.count % 8 != 0 { header.append(UInt8(ascii: " ")) }
    var writer = ByteWriter()
    writer.append(integer: UInt64(header.count))
    output = try OutputFile(path: path)
    try output.truncate(to: 0)
    try output.append(writer.bytes + header)
    expectedBytes = output.size + offset
  }

  /// Appends elements.
  public func append(_ values: [Float]) throws(WeightFileError) {
    // Every platform we build for is little-endian, as the format is.
    try output.append(values.withUnsafeBytes { Array($0) })
  }

  /// Makes the file durable.
  public func finish() throws(WeightFileError) {
    precondition(output.size == expectedBytes, "the tensors were not filled")
    try output.synchronize()
  }
}
