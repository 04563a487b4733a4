// Memory of this process as the kernel counts it, and how the C library's heap keeps it.

import CMalloc
import Glibc

/// Resident memory of this process.
enum ProcessMemory {
  /// Has large buffers go back to the system when they are freed.
  ///
  /// That is what the C library does at first; but from every one that is freed it learns to keep such in its heap.
  static func returnLargeBuffers() { _ = mallopt(M_MMAP_THRESHOLD, 128 << 10) }

  /// Gives what is free in the heap back to the system.
  static func returnFreeMemory() { _ = malloc_trim(0) }

  /// Largest resident set so far, in bytes.
  static var peakResidentBytes: Int {
    var usage = rusage()
    guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
    return usage.ru_maxrss * 1024
  }
}
