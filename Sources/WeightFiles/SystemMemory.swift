// What the machine has left.

import Foundation

/// Memory of the machine as a whole.
public enum SystemMemory {
  /// Bytes that programs and page cache could have now, or `nil` where the system does not tell.
  public static var availableBytes: Int? {
    let text = (try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)) ?? ""
    let line = text.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
    return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
  }
}
