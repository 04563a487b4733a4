// Memory that kernels use within one call and keep for the next: it grows to the largest request
// and its contents never outlive a call.

/// Reusable 64-byte aligned memory.
struct ScratchBuffer: ~Copyable {
  private var base: UnsafeMutableRawPointer?
  private var capacity = 0

  init() {}

  deinit { base?.deallocate() }

  /// `bytes` bytes, contents unspecified; valid until the next call.
  mutating func reserve(_ bytes: Int) -> UnsafeMutableRawPointer {
    if let base, bytes <= capacity { return base }
    base?.deallocate()
    let size = (max(bytes, 64) + 4095) / 4096 * 4096
    let fresh = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
    base = fresh
    capacity = size
    return fresh
  }
}
