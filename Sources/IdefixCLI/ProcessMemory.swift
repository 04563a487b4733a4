// Memory of this process as the kernel counts it, and how the C library's heap keeps it.

import CMalloc
import Glibc

/// Resident memory of this process.
enum ProcessMemory {
  /// Has buffers of a megabyte and more go back to the system when they are freed.
  ///
  /// By default the C library learns from the first large ones, those that weights are read through, to keep such in its
  /// heap.
  static func returnLargeBuffers() { _ = mallopt(M_MMAP_THRESHOLD, 1 << 20) }

  /// Largest resident set so far, in bytes.
  static var peakResidentBytes: Int {
    var usage = rusage()
    guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
    return usage.ru_maxrss * 1024
  }
}
