// A file mapped into memory as immutable bytes: raw blocks of weights are used in place from here.
// Nothing is parsed through the map, so a file that shrinks while it is open can not lie to a parser.
// A page that has gone still raises SIGBUS when a kernel reads it: whoever serves files that others
// may truncate opens them with `IdfxAccess.copied`. The writer never touches a file in place.

import Glibc
import Tensors

/// Maps a whole file.
enum MappedFile {
  /// The bytes of `file`, read-only and shared with every other process that maps it.
  static func region(_ file: InputFile) throws(WeightFileError) -> ByteRegion {
    let size = file.size
    guard size > 0 else { throw .malformed(path: file.path, reason: "is empty") }
    guard let base = mmap(nil, size, PROT_READ, MAP_SHARED, file.descriptor, 0),
      base != UnsafeMutableRawPointer(bitPattern: -1)
    else { throw .cannotRead(path: file.path, code: errno) }
    return ByteRegion(baseAddress: UnsafeRawPointer(base), count: size) { address in
      munmap(UnsafeMutableRawPointer(mutating: address), size)
    }
  }

  /// Takes the pages of `bytes`, a part of a mapped file, out of this process's memory.
  ///
  /// They stay in the page cache as long as the system likes; a read brings them back.
  static func leave(_ bytes: ByteSlice) {
    let before = bytes.offset % Int(getpagesize())
    let start = bytes.region.baseAddress + (bytes.offset - before)
    madvise(UnsafeMutableRawPointer(mutating: start), bytes.count + before, MADV_DONTNEED)
  }
}
