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
}
