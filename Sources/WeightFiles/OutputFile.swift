// A file being written at its end, and the system calls that make a finished one durable. Every
// refusal of the system becomes a typed error; a short write is continued, never forgotten.

import Glibc

/// A file opened for appending, locked against a second writer.
package final class OutputFile {
  package let path: String
  /// Bytes in the file.
  package private(set) var size: Int
  private let descriptor: Int32
  /// A write that would take the file beyond this fails as on a full disk: for tests.
  private let capacity: Int

  /// Opens or creates `path`; a new file gets the permissions `mode`.
  package init(
    path: String,
    capacity: Int = .max,
    mode: mode_t = 0o644
  ) throws(WeightFileError) {
    let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode)
    guard descriptor >= 0 else { throw .cannotWrite(path: path, code: errno) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      close(descriptor)
      throw .busy(path: path)
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw .cannotWrite(path: path, code: EINVAL)
    }
    self.path = path
    self.descriptor = descriptor
    self.capacity = capacity
    size = Int(status.st_size)
  }

  deinit {
    // A child that is being spawned right now shares the descriptor until it executes its program;
    // closing ours would leave the lock with it for that long.
    flock(descriptor, LOCK_UN)
    close(descriptor)
  }

  /// Appends `bytes`.
  package func append(_ bytes: [UInt8]) throws(WeightFileError) {
    guard bytes.count <= capacity - size else { throw .cannotWrite(path: path, code: ENOSPC) }
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes { buffer in
        pwrite(
          descriptor,
          buffer.baseAddress.map { $0 + done },
          buffer.count - done,
          off_t(size + done)
        )
      }
      if count < 0 {
        guard errno == EINTR else { throw .cannotWrite(path: path, code: errno) }
      } else {
        done += count
      }
    }
    size += done
  }

  /// Cuts the file to `count` bytes.
  package func truncate(to count: Int) throws(WeightFileError) {
    guard ftruncate(descriptor, off_t(count)) == 0 else {
      throw .cannotWrite(path: path, code: errno)
    }
    size = count
  }

  /// Waits until the bytes are on the disk.
  package func synchronize() throws(WeightFileError) {
    guard fsync(descriptor) == 0 else { throw .cannotWrite(path: path, code: errno) }
  }

  /// Gives a finished file its final name, durably.
  package static func rename(_ path: String, to final: String) throws(WeightFileError) {
    guard Glibc.rename(path, final) == 0 else { throw .cannotWrite(path: final, code: errno) }
    let slash = final.lastIndex(of: "/")
    let folder = slash.map { $0 == final.startIndex ? "/" : String(final[..<$0]) } ?? "."
    let descriptor = open(folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
    guard descriptor >= 0 else { return }
    // A file system that cannot sync a folder has nothing to be synced.
    fsync(descriptor)
    close(descriptor)
  }

  /// Removes a file that may be absent.
  package static func remove(_ path: String) { unlink(path) }

  /// Whether there is anything at `path`.
  static func exists(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0
  }
}
