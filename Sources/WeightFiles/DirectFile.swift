// Reads past the page cache. What is read once, or again only after the cache has long been overrun, need
// not push other things out of memory on its way, and the disk fills the buffer without a copy.

import Glibc

/// A file opened a second time for direct reads.
final class DirectFile: Sendable {
  /// O_DIRECT, which the C library's headers keep from Swift.
  #if arch(arm64)
  private static let flag: Int32 = 0o200000
  #else
  private static let flag: Int32 = 0o40000
  #endif
  /// Offsets, sizes and addresses of direct reads are multiples of this.
  static let granule = 4096

  private let path: String
  private let size: Int
  private let descriptor: Int32
  /// Address space to ask about the page cache by; never read.
  private let map: UInt

  /// Opens `file` again, or gives `nil` where its file system does not do direct reads.
  init?(_ file: InputFile) {
    // By descriptor: the path may name another file by now.
    let descriptor = open(
      "/proc/self/fd/\(file.descriptor)",
      O_RDONLY | O_CLOEXEC | Self.flag
    )
    guard descriptor >= 0 else { return nil }
    guard file.size > 0, let map = mmap(nil, file.size, PROT_READ, MAP_SHARED, descriptor, 0),
      map != MAP_FAILED
    else {
      close(descriptor)
      return nil
    }
    path = file.path
    size = file.size
    self.descriptor = descriptor
    self.map = UInt(bitPattern: map)
  }

  deinit {
    if let map = UnsafeMutableRawPointer(bitPattern: map) { munmap(map, size) }
    close(descriptor)
  }

  /// Whether most of a part of the file is in the page cache, from where it is had for a copy.
  func isCached(at offset: Int, count: Int) -> Bool {
    let first = offset / Self.granule * Self.granule
    let pages = (offset + count - first + Self.granule - 1) / Self.granule
    guard offset >= 0, count > 0, offset + count <= size,
      let address = UnsafeMutableRawPointer(bitPattern: map + UInt(first))
    else { return false }
    var states = [UInt8](repeating: 0, count: pages)
    guard mincore(address, pages * Self.granule, &states) == 0 else { return true }
    return states.count { $0 & 1 != 0 } * 2 > pages
  }

  /// Reads `count` bytes from `offset` on into `buffer`, which is aligned and has room for two granules
  /// more.
  /// - Returns: Where in the buffer they begin.
  func read(
    at offset: Int,
    count: Int,
    into buffer: UnsafeMutableRawBufferPointer
  ) throws(WeightFileError) -> Int {
    let first = offset / Self.granule * Self.granule
    let skipped = offset - first
    let wanted = (skipped + count + Self.granule - 1) / Self.granule * Self.granule
    precondition(wanted <= buffer.count, "the buffer is too small")
    guard let base = buffer.baseAddress else { return 0 }
    var done = 0
    while done < skipped + count {
      // A short count ends at a granule but for the end of the file.
      let read = pread(descriptor, base + done, wanted - done, off_t(first + done))
      if read < 0 {
        guard errno == EINTR else { throw .cannotRead(path: path, code: errno) }
      } else if read == 0 {
        throw .changed(path: path)
      } else {
        done += read
      }
    }
    return skipped
  }
}
