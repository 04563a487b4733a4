// An owned, 64-byte aligned, zero-initialised run of trivial elements: what kernels write into.
// Refuses nothing at run time but absurd sizes: callers size it from validated shapes. Large ones ask for
// huge pages, as kernels stream through them or jump from row to row.

import Glibc

/// Owner of `count` trivial elements at a 64-byte aligned address.
///
/// Frozen because Embedded Swift, in which Tools/check-neon builds this room, allows `discard` only so.
@frozen public struct AlignedBuffer<Element: BitwiseCopyable>: ~Copyable {
  /// Alignment in bytes: one cache line, one AVX-512 vector.
  public static var alignment: Int { 64 }

  /// First element.
  public let baseAddress: UnsafeMutablePointer<Element>
  /// Number of elements.
  public let count: Int

  /// Allocates `count` elements, all bits zero.
  public init(count: Int) {
    precondition(count >= 0, "negative buffer size")
    let bytes = max(count, 1) * MemoryLayout<Element>.stride
    let hugePage = 2 << 20
    let isLarge = bytes >= 2 * hugePage
    let raw = UnsafeMutableRawPointer.allocate(
      byteCount: bytes,
      alignment: isLarge ? hugePage : Self.alignment
    )
    if isLarge { madvise(raw, bytes / hugePage * hugePage, MADV_HUGEPAGE) }
    raw.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
    baseAddress = raw.bindMemory(to: Element.self, capacity: max(count, 1))
    self.count = count
  }

  deinit { baseAddress.deallocate() }

  /// One element; traps outside `0..<count`.
  public subscript(index: Int) -> Element {
    get {
      precondition(index >= 0 && index < count, "index out of range")
      return baseAddress[index]
    }
    set {
      precondition(index >= 0 && index < count, "index out of range")
      baseAddress[index] = newValue
    }
  }

  /// The elements, valid for the duration of `body`.
  public borrowing func withElements<Result, Failure: Error>(
    _ body: (UnsafeBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(UnsafeBufferPointer(start: baseAddress, count: count))
  }

  /// The elements for writing, valid for the duration of `body`.
  public mutating func withMutableElements<Result, Failure: Error>(
    _ body: (UnsafeMutableBufferPointer<Element>) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    try body(UnsafeMutableBufferPointer(start: baseAddress, count: count))
  }

  /// Turns the buffer into an immutable region that can be shared between threads.
  public consuming func freeze() -> ByteRegion {
    let region = ByteRegion(
      baseAddress: UnsafeRawPointer(baseAddress),
      count: count * MemoryLayout<Element>.stride,
      release: { UnsafeMutableRawPointer(mutating: $0).deallocate() }
    )
    discard self
    return region
  }
}
