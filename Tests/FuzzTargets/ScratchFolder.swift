// A folder for the files that a parser wants to open by path, overwritten from one input to the next.
// Removed with them when the last reference goes, or by `remove` where none ever does.

import Glibc

/// A folder of this process.
public final class ScratchFolder: Sendable {
  /// Its path.
  public let path: String

  /// Why a file could not be written.
  public struct Failure: Error {
    /// errno.
    public let code: Int32
  }

  /// Makes a folder inside `parent`.
  public init(in parent: String) throws(Failure) {
    var template = Array((parent + "/idefix-fuzz-XXXXXX").utf8CString)
    guard mkdtemp(&template) != nil else { throw Failure(code: errno) }
    path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
  }

  deinit { remove() }

  /// Removes the folder and its files.
  public func remove() {
    for name in FuzzTarget.fileNames { unlink(path + "/" + name) }
    rmdir(path)
  }

  /// Writes a file and returns its path.
  func write(_ bytes: [UInt8], to name: String) -> String {
    precondition(FuzzTarget.fileNames.contains(name), "a file that nobody would remove")
    let file = path + "/" + name
    let descriptor = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    precondition(descriptor >= 0, "cannot write \(file)")
    let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
    precondition(count == bytes.count, "cannot write \(file)")
    return file
  }
}
