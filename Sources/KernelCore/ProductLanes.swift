// What integer products of quantised weights are made of, in whatever number of rows goes through
// together: a part of a row tile, a whole one, or two.

/// Products of int8 weights with int8 activations, some rows at a time.
public protocol ProductLanes {
  /// 4 int8 weights for each row, in the form that `dot` takes.
  associatedtype Weights: BitwiseCopyable
  /// One int32 for each row.
  associatedtype Sums: BitwiseCopyable
  /// One group scale for each row, in the form that `dot` and `end` take.
  associatedtype GroupScale: BitwiseCopyable

  /// Rows that go through together: a divisor or a multiple of 16.
  static var partRows: Int { get }
  /// No products.
  static var zero: Sums { get }
  /// Begins a group: the accumulator that `dot` adds to.
  ///
  /// `correction` points at an
  /// `ActivationRecord` sum.
  static func begin(_ total: Sums, correction p: UnsafeRawPointer) -> Sums
  /// Adds the products of 4 k; `x` points at the 4 int8 activations in an `ActivationRecord`.
  static func dot(
    _ sums: Sums,
    _ weights: Weights,
    _ x: UnsafeRawPointer,
    _ scale: GroupScale
  ) -> Sums
  /// Ends a group: `total + scale · (the group's products)`.
  static func end(_ total: Sums, _ sums: Sums, _ scale: GroupScale) -> Sums
  /// Writes sums as `partRows` int32.
  static func store(_ sums: Sums, to p: UnsafeMutableRawPointer)
  /// `floats[row] += scale · float(sums[row])`, rounded once, for whole row tiles.
  static func addProducts(_ sums: Sums, _ scale: Float, _ floats: UnsafeMutablePointer<Float>)
}

extension Lanes {
  /// For one row tile.
  @inlinable @inline(__always)
  public static func addProducts(
    _ sums: Sums,
    _ scale: Float,
    _ floats: UnsafeMutablePointer<Float>
  ) {
    let all = unsafeBitCast(sums, to: SIMD16<Int32>.self)
    KernelCore.addProducts(Self.self, all, scale, floats)
  }
}

/// Something for each of two parts.
@usableFromInline
struct OfTwo<Value: BitwiseCopyable>: BitwiseCopyable {
  @usableFromInline var first: Value
  @usableFromInline var second: Value

  @inlinable @inline(__always)
  init(_ first: Value, _ second: Value) {
    self.first = first
    self.second = second
  }
}

/// Two row tiles together, or both halves of one.
///
/// What is read of a token serves both, which leaves the load units free for weights. Where multipliers are as
/// fast as these, reading would else be the limit.
@usableFromInline
enum TwoParts<L: Lanes>: ProductLanes {
  @usableFromInline typealias Weights = OfTwo<L.Weights>
  @usableFromInline typealias Sums = OfTwo<L.Sums>
  @usableFromInline typealias GroupScale = OfTwo<L.GroupScale>

  @inlinable @inline(__always)
  static var partRows: Int { 2 * L.partRows }

  @inlinable @inline(__always)
  static var zero: Sums { Sums(L.zero, L.zero) }

  @inlinable @inline(__always)
  static func begin(_ total: Sums, correction p: UnsafeRawPointer) -> Sums {
    Sums(L.begin(total.first, correction: p), L.begin(total.second, correction: p))
  }

  @inlinable @inline(__always)
  static func dot(
    _ sums: Sums,
    _ weights: Weights,
    _ x: UnsafeRawPointer,
    _ scale: GroupScale
  ) -> Sums {
    Sums(
      L.dot(sums.first, weights.first, x, scale.first),
      L.dot(sums.second, weights.second, x, scale.second)
    )
  }

  @inlinable @inline(__always)
  static func end(_ total: Sums, _ sums: Sums, _ scale: GroupScale) -> Sums {
    Sums(
      L.end(total.first, sums.first, scale.first),
      L.end(total.second, sums.second, scale.second)
    )
  }

  @inlinable @inline(__always)
  static func store(_ sums: Sums, to p: UnsafeMutableRawPointer) {
    L.store(sums.first, to: p)
    L.store(sums.second, to: p + L.partRows * 4)
  }

  @inlinable @inline(__always)
  static func addProducts(
    _ sums: Sums,
    _ scale: Float,
    _ floats: UnsafeMutablePointer<Float>
  ) {
    if L.partRows == 16 {
      L.addProducts(sums.first, scale, floats)
      L.addProducts(sums.second, scale, floats + 16)
    } else {
      let all = unsafeBitCast(sums, to: SIMD16<Int32>.self)
      KernelCore.addProducts(L.self, all, scale, floats)
    }
  }
}
