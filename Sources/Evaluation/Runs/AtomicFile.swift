// Files that appear under their name only when they are complete.

import Foundation
import Glibc

/// Writing files in one step.
public enum AtomicFile {
  /// Writes bytes to a file, in place of what was there.
  public static func write(_ bytes: some Sequence<UInt8>, to path: String) throws(EvaluationError) {
    let partial = path + ".partial"
    do {
      try Data(bytes).write(to: URL(filePath: partial))
    } catch {
      throw .unwritable(path: path)
    }
    try rename(partial, to: path)
  }

  /// Gives a complete file its name, in place of what was there.
  public static func rename(_ source: String, to path: String) throws(EvaluationError) {
    guard Glibc.rename(source, path) == 0 else { throw .unwritable(path: path) }
  }
}
