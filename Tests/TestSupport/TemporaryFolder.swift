// A folder of one test's own, removed when the test is done.

import Foundation

/// An empty folder that goes when the last reference does.
public final class TemporaryFolder: Sendable {
  /// Its path.
  public let path: String

  /// Makes the folder.
  public init() throws {
    path = NSTemporaryDirectory() + "idefix-tests-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// The path of `name` within the folder.
  public func callAsFunction(_ name: String) -> String { path + "/" + name }

  /// Writes a file.
  @discardableResult
  public func write(_ bytes: [UInt8], to name: String) throws -> String {
    try Data(bytes).write(to: URL(fileURLWithPath: self(name)))
    return self(name)
  }

  /// Reads a file.
  public func read(_ name: String) throws -> [UInt8] {
    Array(try Data(contentsOf: URL(fileURLWithPath: self(name))))
  }

  /// Bytes of all files.
  public func byteCount() throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: path).reduce(0) { sum, name in
      let attributes = try FileManager.default.attributesOfItem(atPath: self(name))
      return sum + (attributes[.size] as? Int ?? 0)
    }
  }

  /// Whether there is a file.
  public func exists(_ name: String) -> Bool {
    FileManager.default.fileExists(atPath: self(name))
  }
}
