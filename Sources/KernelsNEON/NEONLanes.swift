// ARMv8.2 with dot product: a quarter of a tile (4 rows) to a vector. Everything is inlined from
// KernelCore; this file only says which instruction stands for which primitive.

#if arch(arm64)
import CIntrinsics
import KernelCore

/// The primitives of NEON with dot product.
enum NEONLanes: Lanes {
  typealias Weights = SIMD4<UInt32>
  typealias Sums = SIMD4<Int32>
  typealias GroupScale = SIMD4<Int32>
  typealias Table = SIMD4<UInt32>

  @inline(__always)
  static var partRows: Int { 4 }

  @inline(__always)
  static func table(_ p: UnsafeRawPointer) -> Table {
    p.loadUnaligned(as: SIMD4<UInt32>.self)
  }

  @inline(__always)
  static func low(_ p: UnsafeRawPointer, _ table: Table) -> Weights {
    let codes = p.loadUnaligned(as: SIMD4<UInt32>.self) & SIMD4(repeating: 0x0f0f_0f0f)
    return lanes_lookup4(table, codes)
  }

  @inline(__always)
  static func high(_ p: UnsafeRawPointer, _ table: Table) -> Weights {
    let codes = (p.loadUnaligned(as: SIMD4<UInt32>.self) &>> 4) & SIMD4(repeating: 0x0f0f_0f0f)
    return lanes_lookup4(table, codes)
  }

  @inline(__always)
  static func bytes(_ p: UnsafeRawPointer) -> Weights {
    p.loadUnaligned(as: SIMD4<UInt32>.self)
  }

  @inline(__always)
  static func groupScale(_ p: UnsafeRawPointer) -> GroupScale {
    lanes_load_i8x4(p.assumingMemoryBound(to: Int8.self))
  }

  @inline(__always)
  static func begin(_ total: Sums, correction p: UnsafeRawPointer) -> Sums {
    Sums(repeating: 0)
  }

  @inline(__always)
  static func dot(
    _ sums: Sums,
    _ weights: Weights,
    _ x: UnsafeRawPointer,
    _ scale: GroupScale
  ) -> Sums {
    lanes_dot4(sums, weights, x.load(as: UInt32.self))
  }

  @inline(__always)
  static var tokensAtOnce: Int { 8 }

  @inline(__always)
  static func end(_ total: Sums, _ sums: Sums, _ scale: GroupScale) -> Sums {
    total &+ sums &* scale
  }

  @inline(__always)
  static var holdsSixteenRows: Bool { false }

  @inline(__always)
  static func complete(_ record: UnsafeMutableRawPointer) {}
}

typealias NativeLanes = NEONLanes

extension KernelTable {
  /// The kernels of `NEONLanes`.
  public static let neon = native
}
#endif
