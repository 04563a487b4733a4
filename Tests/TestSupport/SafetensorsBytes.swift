// Builds safetensors files, honest and otherwise, for the tests of their reader.

/// Bytes of a safetensors file.
public enum SafetensorsBytes {
  /// A file with this header text and this much data.
  public static func file(header: String, data: Int = 0) -> [UInt8] {
    file(header: Array(header.utf8), data: data)
  }

  /// A file with this header and this much data.
  public static func file(header: [UInt8], data: Int = 0) -> [UInt8] {
    let length = UInt64(header.count)
    return (0..<8).map { UInt8(truncatingIfNeeded: length >> UInt64(8 * $0)) } + header
      + (0..<data).map { UInt8(truncatingIfNeeded: $0) }
  }

  /// One header entry.
  public static func entry(
    _ name: String,
    _ dtype: String,
    _ shape: [Int],
    _ begin: Int,
    _ end: Int
  ) -> String {
    "\"\(name)\":{\"dtype\":\"\(dtype)\",\"shape\":\(shape),\"data_offsets\":[\(begin),\(end)]}"
  }
}
