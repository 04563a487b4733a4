// Files that the system makes up as they are read, such as those of /proc: they say that they are empty, so what
// trusts their size sees the first page only.

import Foundation

/// Reads what has no size.
public enum SystemFile {
  /// The whole text of the file at `path`, or `nil` where there is none.
  public static func text(_ path: String) -> String? {
    guard let handle = FileHandle(forReadingAtPath: path) else { return nil }
    var bytes = Data()
    while let more = try? handle.read(upToCount: 1 << 16), !more.isEmpty { bytes += more }
    return String(decoding: bytes, as: UTF8.self)
  }
}
