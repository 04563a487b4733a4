// Small float32 parameters that are read whole: norm weights, biases, gates, position embeddings.

/// An immutable row-major float32 tensor.
public struct DenseTensor: Sendable {
  /// Extents.
  public let shape: Shape
  /// `shape.count` little-endian float32 values, 4-byte aligned or better.
  public let bytes: ByteSlice

  /// Wraps bytes; `nil` when their number or alignment does not fit the shape.
  public init?(shape: Shape, bytes: ByteSlice) {
    guard shape.byteCount(of: .float32) == bytes.count,
      UInt(bitPattern: bytes.baseAddress) % 4 == 0
    else { return nil }
    self.shape = shape
    self.bytes = bytes
  }

  /// Copies `values` into a new tensor; `nil` when their number does not fit the shape.
  public init?(shape: Shape, values: [Float]) {
    guard values.count == shape.count else { return nil }
    let region = values.withUnsafeBytes { ByteRegion(copying: $0) }
    self.init(shape: shape, bytes: ByteSlice(region))
  }

  /// Number of elements.
  public var count: Int { shape.count }

  /// First element; alive as long as the tensor is.
  public var baseAddress: UnsafePointer<Float> {
    bytes.baseAddress.assumingMemoryBound(to: Float.self)
  }

  /// A copy of the elements.
  public var values: [Float] { Array(UnsafeBufferPointer(start: baseAddress, count: count)) }
}
