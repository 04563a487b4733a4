// What the machine has left.

import Foundation

/// Memory of the machine as a whole.
public enum SystemMemory {
  /// Bytes that programs and page cache could have now, or `nil` where the system does not tell.
  public static var availableBytes: Int? { bytes("MemAvailable:") }

  /// Bytes that nothing uses now, not even the page cache, or `nil` where the system does not tell.
  public static var unusedBytes: Int? { bytes("MemFree:") }

  private static func bytes(_ field: String) -> Int? {
    let text = (try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix(field) }
    return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
  }
}
