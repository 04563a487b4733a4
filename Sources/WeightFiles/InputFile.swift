// An open regular file, read with pread: nothing here can raise SIGBUS, whatever happens to the file.
// Refuses folders, pipes and devices, and reads beyond the size seen at opening.

import Glibc
import Tensors

/// A regular file, open for reading.
public final class InputFile: Sendable {
  /// Path as given.
  public let path: String
  /// Size in bytes when it was opened.
  public let size: Int
  /// What tells this state of the file from another: device, inode, size and modification time.
  public let fingerprint: [UInt64]
  let descriptor: Int32

  /// Opens `path`.
  public init(path: String) throws(WeightFileError) {
    // O_NONBLOCK: a pipe put where a file is expected must not block the open.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else {
      let code = errno
      throw code == ENOENT || code == ENOTDIR
        ? .notFound(path: path) : .cannotRead(path: path, code: code)
    }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let code = errno
      close(descriptor)
      throw .cannotRead(path: path, code: code)
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw .malformed(path: path, reason: "is not a regular file")
    }
    self.path = path
    self.descriptor = descriptor
    size = Int(status.st_size)
    fingerprint = Self.fingerprint(status)
  }

  deinit { close(descriptor) }

  /// Throws unless the file is still the one that was opened, unmodified.
  public func checkUnchanged() throws(WeightFileError) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .cannotRead(path: path, code: errno) }
    guard Self.fingerprint(status) == fingerprint else { throw .changed(path: path) }
  }

  /// Fills `buffer` with the bytes from `offset` on.
  public func read(
    at offset: Int,
    into buffer: UnsafeMutableRawBufferPointer
  ) throws(WeightFileError) {
    guard offset >= 0, offset <= size, buffer.count <= size - offset else {
      throw .malformed(path: path, reason: "a read beyond its end was asked for")
    }
    guard let base = buffer.baseAddress else { return }
    var done = 0
    while done < buffer.count {
      let count = pread(descriptor, base + done, buffer.count - done, off_t(offset + done))
      if count < 0 {
        guard errno == EINTR else { throw .cannotRead(path: path, code: errno) }
      } else if count == 0 {
        throw .changed(path: path)
      } else {
        done += count
      }
    }
  }

  /// A copy of `count` bytes from `offset` on; the caller has bounded `count`.
  public func bytes(at offset: Int, count: Int) throws(WeightFileError) -> [UInt8] {
    guard count >= 0, offset >= 0, offset <= size, count <= size - offset else {
      throw .malformed(path: path, reason: "a read beyond its end was asked for")
    }
    var bytes = [UInt8](repeating: 0, count: count)
    var failure: WeightFileError?
    bytes.withUnsafeMutableBytes { buffer in
      do throws(WeightFileError) {
        try read(at: offset, into: buffer)
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// The whole file, which must not be larger than `limit` bytes.
  public static func contents(
    of path: String,
    limit: Int
  ) throws(WeightFileError) -> [UInt8] {
    let file = try InputFile(path: path)
    guard file.size <= limit else {
      throw .malformed(path: path, reason: "is \(file.size) bytes long; at most \(limit) are read")
    }
    return try file.bytes(at: 0, count: file.size)
  }

  /// Tells the system that a part of the file will be read soon: a hint, which may do nothing.
  func willRead(at offset: Int, count: Int) {
    posix_fadvise(descriptor, off_t(offset), off_t(count), POSIX_FADV_WILLNEED)
  }

  /// Tells the system that it need not keep the file in the page cache: a hint, which may do nothing.
  func leavePageCache() { posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) }

  private static func fingerprint(_ status: stat) -> [UInt64] {
    let time = status.st_mtim
    return [
      UInt64(truncatingIfNeeded: status.st_dev), UInt64(truncatingIfNeeded: status.st_ino),
      UInt64(truncatingIfNeeded: status.st_size), UInt64(truncatingIfNeeded: time.tv_sec),
      UInt64(truncatingIfNeeded: time.tv_nsec),
    ]
  }
}
