// Memory that weights are decoded into: one anonymous mapping, on huge pages where the system grants
// them, because a pass reads all of it and every address translation it spares is bandwidth won.

import Glibc
import Tensors

/// Anonymous memory, zero until written; given back when the last reference goes.
package final class WeightArena: @unchecked Sendable {
  // Sendable: the fields are constants. Bytes are written by whoever loads them, before (or, where they
  // are streamed, between) the times that others read them; the loaders say how they see to that.

  /// What the processor can translate at once besides its ordinary pages.
  package static let hugePageBytes = 2 << 20

  /// Bytes to be used.
  package let byteCount: Int
  private let mapping: UnsafeMutableRawPointer
  private let mappedBytes: Int
  private let base: UnsafeMutableRawPointer

  /// Reserves `byteCount` bytes for weights of the file at `path`, which an error names.
  package init(byteCount: Int, path: String) throws(WeightFileError) {
    let huge = Self.hugePageBytes
    // Room to begin at a huge page; what is never touched costs nothing.
    mappedBytes = max(byteCount, 1) + huge
    let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
    guard let mapping = mmap(nil, mappedBytes, PROT_READ | PROT_WRITE, flags, -1, 0),
      mapping != MAP_FAILED
    else { throw .cannotRead(path: path, code: errno) }
    self.mapping = mapping
    self.byteCount = byteCount
    base = mapping + (huge - Int(bitPattern: mapping) % huge) % huge
    madvise(base, max(byteCount, 1), MADV_HUGEPAGE)
  }

  deinit { munmap(mapping, mappedBytes) }

  /// A part of the memory, to be written.
  package func slice(offset: Int, count: Int) -> UnsafeMutableRawBufferPointer {
    precondition(offset >= 0 && count >= 0 && offset <= byteCount - count, "outside the arena")
    return UnsafeMutableRawBufferPointer(start: base + offset, count: count)
  }

  /// The memory, to be read; keeps the arena alive.
  package func region() -> ByteRegion {
    ByteRegion(baseAddress: UnsafeRawPointer(base), count: byteCount) { _ in _ = self }
  }

  /// Gives the memory back to the system, which nobody may be reading; it is zero until it is written again.
  package func leave() { madvise(base, max(byteCount, 1), MADV_DONTNEED) }

  /// Touches every page, with up to `threads` threads.
  private func touch(threads: Int) {
    let chunks = (byteCount + Self.hugePageBytes - 1) / Self.hugePageBytes
    ParallelWork.run(threads: threads, items: chunks) { claim in
      while let chunk = claim() {
        let start = chunk * Self.hugePageBytes
        for offset in stride(
          from: start,
          to: min(start + Self.hugePageBytes, byteCount),
          by: 4096
        ) { slice(offset: offset, count: 1)[0] = 1 }
      }
    }
  }

  /// Bytes of an arena of `byteCount` touched bytes that lie on huge pages, measured now on a new one;
  /// `nil` where the system does not tell.
  package static func grantedHugePageBytes(of byteCount: Int) -> Int? {
    guard let arena = try? WeightArena(byteCount: byteCount, path: "") else { return nil }
    arena.touch(threads: 1)
    return withExtendedLifetime(arena) {
      MemoryMaps.bytes("AnonHugePages:", ofMappingAt: UInt(bitPattern: arena.base))
    }
  }

  /// Takes `byteCount` bytes from the system with `threads` threads and gives them back; returns the bytes per second
  /// at which they came.
  ///
  /// In a virtual machine that returns free memory to its host this can take longer than to fill it; for a moment
  /// afterwards it does not.
  package static func obtainedBytesPerSecond(
    _ byteCount: Int,
    threads: Int
  ) throws(WeightFileError) -> Double {
    let arena = try WeightArena(byteCount: byteCount, path: "memory")
    let start = ContinuousClock.now
    arena.touch(threads: threads)
    return Double(byteCount) / max((ContinuousClock.now - start) / .seconds(1), 1e-9)
  }
}

/// What the kernel says about this process's mappings.
enum MemoryMaps {
  /// A field of the mapping that holds `address`, in bytes.
  static func bytes(_ field: String, ofMappingAt address: UInt) -> Int? {
    guard let text = contents(of: "/proc/self/smaps") else { return nil }
    var isWanted = false
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ", omittingEmptySubsequences: true)
      guard let first = words.first else { continue }
      let bounds = first.split(separator: "-").map { UInt($0, radix: 16) }
      if bounds.count == 2, let lower = bounds[0], let upper = bounds[1] {
        isWanted = lower <= address && address < upper
      } else if isWanted, first == field, words.count > 1 {
        return Int(words[1]).map { $0 * 1024 }
      }
    }
    return nil
  }

  /// A file without a size, which gives a page at a time.
  private static func contents(of path: String) -> String? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = read(descriptor, &chunk, chunk.count)
      guard count > 0 else { break }
      bytes += chunk[..<count]
    }
    return String(decoding: bytes, as: UTF8.self)
  }
}
