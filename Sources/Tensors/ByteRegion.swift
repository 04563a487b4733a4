// Immutable bytes with one owner: a frozen buffer or a mapped file. Weights are views into these.
// Refuses nothing; whoever makes one promises that the bytes do not change while anybody reads them.

/// A run of immutable bytes, released when the last reference goes.
public final class ByteRegion: @unchecked Sendable {
  // Sendable: all fields are constants, and the bytes are never written after initialisation but where
  // weights are streamed, whose readers hold them acquired for as long as they read.

  /// First byte.
  public let baseAddress: UnsafeRawPointer
  /// Number of bytes.
  public let count: Int
  private let release: @Sendable (UnsafeRawPointer) -> Void

  /// Takes ownership of `count` bytes at `baseAddress`; `release` gives them back.
  public init(
    baseAddress: UnsafeRawPointer,
    count: Int,
    release: @escaping @Sendable (UnsafeRawPointer) -> Void
  ) {
    self.baseAddress = baseAddress
    self.count = count
    self.release = release
  }

  /// Copies `bytes` into a new 64-byte aligned region.
  public convenience init(copying bytes: UnsafeRawBufferPointer) {
    let raw = UnsafeMutableRawPointer.allocate(byteCount: max(bytes.count, 1), alignment: 64)
    if let source = bytes.baseAddress { raw.copyMemory(from: source, byteCount: bytes.count) }
    self.init(baseAddress: UnsafeRawPointer(raw), count: bytes.count) {
      UnsafeMutableRawPointer(mutating: $0).deallocate()
    }
  }

  deinit { release(baseAddress) }

  /// All bytes.
  public var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: baseAddress, count: count)
  }
}

/// A checked slice of a `ByteRegion`.
public struct ByteSlice: Sendable {
  /// The owner of the bytes.
  public let region: ByteRegion
  /// First byte within the region.
  public let offset: Int
  /// Number of bytes.
  public let count: Int

  /// A slice, or `nil` when it does not lie within the region.
  public init?(_ region: ByteRegion, offset: Int, count: Int) {
    guard offset >= 0, count >= 0, offset <= region.count, count <= region.count - offset else {
      return nil
    }
    self.region = region
    self.offset = offset
    self.count = count
  }

  /// The whole region.
  public init(_ region: ByteRegion) {
    self.region = region
    offset = 0
    count = region.count
  }

  /// First byte.
  public var baseAddress: UnsafeRawPointer { region.baseAddress + offset }

  /// The bytes, alive as long as `region` is.
  public var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: baseAddress, count: count)
  }
}
