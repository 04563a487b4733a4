// Safetensors files that break one rule each: each must be refused.

/// A broken file and a part of the sentence that must name what is wrong with it.
public struct HostileSafetensors: Sendable {
  /// What is wrong.
  public let name: String
  /// The file.
  public let bytes: [UInt8]
  /// What the refusal must say.
  public let says: String

  init(_ name: String, header: String, data: Int = 8, says: String) {
    self.init(name, bytes: SafetensorsBytes.file(header: header, data: data), says: says)
  }

  init(_ name: String, bytes: [UInt8], says: String) {
    self.name = name
    self.bytes = bytes
    self.says = says
  }

  private typealias Build = SafetensorsBytes

  /// Every rule broken once.
  public static let all: [HostileSafetensors] = [
    HostileSafetensors("empty", bytes: [], says: "only 0 bytes"),
    HostileSafetensors(
      "text",
      bytes: Array("this is a text file, not weights".utf8),
      says: "not plausible"
    ),
    HostileSafetensors(
      "header of 2^63",
      bytes: [0, 0, 0, 0, 0, 0, 0, 0x80, 0x7b, 0x7d],
      says: "not plausible"
    ),
    HostileSafetensors(
      "header of 100 MB",
      bytes: [0, 0xe1, 0xf5, 5, 0, 0, 0, 0, 0x7b, 0x7d],
      says: "not plausible"
    ),
    HostileSafetensors(
      "header beyond the end",
      bytes: [0, 1, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d],
      says: "header ends beyond"
    ),
    HostileSafetensors("array", header: "[1]", says: "not JSON"),
    HostileSafetensors("unterminated", header: "{\"a\":", says: "damaged header"),
    HostileSafetensors("text after", header: "{}x", says: "after the value"),
    HostileSafetensors(
      "duplicate key",
      header: "{\(Build.entry("a", "F32", [2], 0, 8)),\(Build.entry("a", "F32", [2], 0, 8))}",
      says: "duplicate key \"a\""
    ),
    HostileSafetensors(
      "duplicate key by escape",
      header: "{\(Build.entry("a", "F32", [2], 0, 8)),\(Build.entry("\\u0061", "F32", [2], 0, 8))}",
      says: "duplicate key"
    ),
    HostileSafetensors(
      "duplicate field",
      header: "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,8]}}",
      says: "duplicate key \"dtype\""
    ),
    HostileSafetensors(
      "deep",
      header: "{\"a\":" + String(repeating: "[", count: 100_000),
      says: "expected \"{\""
    ),
    HostileSafetensors(
      "deep metadata",
      header: "{\"__metadata__\":" + String(repeating: "{\"a\":", count: 100_000),
      says: "expected a text"
    ),
    HostileSafetensors(
      "not UTF-8",
      bytes: Build.file(header: Array("{\"a".utf8) + [0xff, 0xfe] + Array("\":{}}".utf8)),
      says: "not UTF-8"
    ),
    HostileSafetensors("lone surrogate", header: "{\"\\ud800\":{}}", says: "lone surrogate"),
    HostileSafetensors(
      "missing field",
      header: "{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}",
      says: "lacks"
    ),
    HostileSafetensors(
      "unknown field",
      header: "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}",
      says: "unknown field"
    ),
    HostileSafetensors(
      "three offsets",
      header: "{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}",
      says: "data_offsets"
    ),
    HostileSafetensors(
      "unknown type",
      header: "{\(Build.entry("a", "F8_E5M2", [8], 0, 8))}",
      says: "unknown element type \"F8_E5M2\""
    ),
    HostileSafetensors(
      "zero dimension",
      header: "{\(Build.entry("a", "F32", [0, 2], 0, 0))}",
      says: "zero"
    ),
    HostileSafetensors(
      "nine dimensions",
      header: "{\(Build.entry("a", "U8", [1, 1, 1, 1, 1, 1, 1, 1, 8], 0, 8))}",
      says: "9 dimensions"
    ),
    HostileSafetensors(
      "negative dimension",
      header: "{\(Build.entry("a", "F32", [-2], 0, 8))}",
      says: "non-negative"
    ),
    HostileSafetensors(
      "dimension of 2^64",
      header: "{\"a\":{\"dtype\":\"U8\",\"shape\":[18446744073709551616],\"data_offsets\":[0,8]}}",
      says: "non-negative"
    ),
    HostileSafetensors(
      "product overflow",
      header: "{\(Build.entry("a", "F32", [1 << 32, 1 << 32], 0, 8))}",
      says: "overflow"
    ),
    HostileSafetensors(
      "byte overflow",
      header: "{\(Build.entry("a", "F64", [1 << 31, 1 << 31], 0, 8))}",
      says: "overflow"
    ),
    HostileSafetensors(
      "wrong size",
      header: "{\(Build.entry("a", "F32", [3], 0, 8))}",
      says: "needs 12"
    ),
    HostileSafetensors(
      "reversed",
      header: "{\(Build.entry("a", "F32", [2], 8, 0))}",
      says: "bytes 8..<0"
    ),
    HostileSafetensors(
      "beyond the end",
      header: "{\(Build.entry("a", "F32", [4], 0, 16))}",
      says: "truncated"
    ),
    HostileSafetensors(
      "hole at start",
      header: "{\(Build.entry("a", "U8", [4], 4, 8))}",
      says: "hole"
    ),
    HostileSafetensors(
      "hole",
      header: "{\(Build.entry("a", "U8", [3], 0, 3)),\(Build.entry("b", "U8", [4], 4, 8))}",
      says: "hole"
    ),
    HostileSafetensors(
      "overlap",
      header: "{\(Build.entry("a", "U8", [5], 0, 5)),\(Build.entry("b", "U8", [4], 4, 8))}",
      says: "overlaps"
    ),
    HostileSafetensors(
      "misaligned",
      header: "{\(Build.entry("a", "U8", [1], 0, 1)),\(Build.entry("b", "F32", [1], 1, 5))}",
      data: 5,
      says: "misaligned"
    ),
    HostileSafetensors(
      "bytes left over",
      header: "{\(Build.entry("a", "U8", [4], 0, 4))}",
      says: "4 bytes after"
    ),
  ]
}
