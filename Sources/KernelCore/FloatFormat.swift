// The element types that float kernels read: weights of the float encodings, keys and values.

/// How a vector of 16 elements is read from weights or pages.
@usableFromInline
protocol FloatFormat {
  /// Bytes of 16 elements.
  static var bytes: Int { get }
  /// Whether the elements have scales beside them.
  static var isScaled: Bool { get }
  /// The 16 elements at `p`, widened exactly.
  static func load<L: Lanes>(_: L.Type, _ p: UnsafeRawPointer) -> SIMD16<Float>
}

extension FloatFormat {
  @inlinable @inline(__always)
  static var isScaled: Bool { false }
}

/// float32 elements.
@usableFromInline
enum Float32Format: FloatFormat {
  @inlinable @inline(__always)
  static var bytes: Int { 64 }
  @inlinable @inline(__always)
  static func load<L: Lanes>(_: L.Type, _ p: UnsafeRawPointer) -> SIMD16<Float> {
    p.loadUnaligned(as: SIMD16<Float>.self)
  }
}

/// bfloat16 elements.
@usableFromInline
enum BFloat16Format: FloatFormat {
  @inlinable @inline(__always)
  static var bytes: Int { 32 }
  @inlinable @inline(__always)
  static func load<L: Lanes>(_: L.Type, _ p: UnsafeRawPointer) -> SIMD16<Float> {
    L.loadBFloat16(p)
  }
}

/// float16 elements of pages.
@usableFromInline
enum Float16Format: FloatFormat {
  @inlinable @inline(__always)
  static var bytes: Int { 32 }
  @inlinable @inline(__always)
  static func load<L: Lanes>(_: L.Type, _ p: UnsafeRawPointer) -> SIMD16<Float> {
    L.loadFloat16(p)
  }
}

/// int8 elements of pages, before their scale.
@usableFromInline
enum Int8Format: FloatFormat {
  @inlinable @inline(__always)
  static var bytes: Int { 16 }
  @inlinable @inline(__always)
  static var isScaled: Bool { true }
  @inlinable @inline(__always)
  static func load<L: Lanes>(_: L.Type, _ p: UnsafeRawPointer) -> SIMD16<Float> {
    L.float(L.loadInt8(p))
  }
}
