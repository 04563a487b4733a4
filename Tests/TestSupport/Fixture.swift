// Finds the files of Tests/Fixtures next to the sources, so that tests run from any directory.

import Foundation

/// A file of `Tests/Fixtures`.
public enum Fixture {
  /// Where the fixture at `path` lies, a path relative to `Tests/Fixtures`.
  public static func url(_ path: String) -> URL {
    URL(fileURLWithPath: #filePath)
      .deletingLastPathComponent()
      .deletingLastPathComponent()
      .appendingPathComponent("Fixtures")
      .appendingPathComponent(path)
  }

  /// The contents of the fixture at `path`.
  ///
  /// - Throws: the file system's error.
  public static func bytes(_ path: String) throws -> [UInt8] {
    [UInt8](try Data(contentsOf: url(path)))
  }
}
