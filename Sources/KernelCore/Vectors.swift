// Loads, stores and fixed-order reductions of 16 float32 lanes, for every instruction set.

extension SIMD16 where Scalar == Float {
  /// 16 values at `p`, any alignment.
  @inlinable @inline(__always)
  static func load(_ p: UnsafePointer<Float>) -> Self {
    UnsafeRawPointer(p).loadUnaligned(as: Self.self)
  }

  /// The first `count` values at `p`, then zeros.
  @inlinable @inline(__always)
  static func load(_ p: UnsafePointer<Float>, count: Int) -> Self {
    guard count < 16 else { return load(p) }
    var v = Self(repeating: 0)
    for lane in 0..<count { v[lane] = p[lane] }
    return v
  }

  /// Stores 16 values at `p`, any alignment.
  @inlinable @inline(__always)
  func store(_ p: UnsafeMutablePointer<Float>) {
    UnsafeMutableRawPointer(p).storeBytes(of: self, as: Self.self)
  }

  /// Stores the first `count` values at `p`.
  @inlinable @inline(__always)
  func store(_ p: UnsafeMutablePointer<Float>, count: Int) {
    guard count < 16 else { return store(p) }
    for lane in 0..<count { p[lane] = self[lane] }
  }

  /// `self · b + c`, rounded once.
  @inlinable @inline(__always)
  func fma(_ b: Self, _ c: Self) -> Self { c.addingProduct(self, b) }

  /// The lanes without their signs.
  @inlinable @inline(__always)
  var magnitudes: Self {
    unsafeBitCast(
      unsafeBitCast(self, to: SIMD16<UInt32>.self) & SIMD16<UInt32>(repeating: 0x7fff_ffff),
      to: Self.self
    )
  }

  /// Sum of the lanes as a binary tree: 8 pairs at distance 8, then 4, 2, 1.
  @inlinable @inline(__always)
  var horizontalSum: Float {
    let eight = lowHalf + highHalf
    let four = eight.lowHalf + eight.highHalf
    let two = four.lowHalf + four.highHalf
    return two[0] + two[1]
  }

  /// Largest lane, as the binary tree of `horizontalSum`; NaN lanes may or may not count.
  @inlinable @inline(__always)
  func horizontalMax<L: Lanes>(_: L.Type) -> Float {
    let eight = L.max(self, Self(lowHalf: highHalf, highHalf: highHalf)).lowHalf
    let four = L.max(
      Self(lowHalf: eight, highHalf: eight),
      Self(
        lowHalf: SIMD8(lowHalf: eight.highHalf, highHalf: eight.highHalf),
        highHalf: eight
      )
    ).lowHalf.lowHalf
    let a = four[0] > four[2] ? four[0] : four[2]
    let b = four[1] > four[3] ? four[1] : four[3]
    return a > b ? a : b
  }
}
