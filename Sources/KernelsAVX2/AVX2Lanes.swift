// AVX2, FMA and F16C: half a tile (8 rows) to a vector. Everything is inlined from KernelCore; this
// file only says which instruction stands for which primitive.

import CIntrinsics
import KernelCore

/// The primitives of AVX2.
enum AVX2Lanes: Lanes {
  typealias Weights = SIMD8<UInt32>
  typealias Sums = SIMD8<Int32>
  typealias GroupScale = SIMD8<Int32>
  typealias Table = SIMD8<UInt32>

  @inline(__always)
  static var partRows: Int { 8 }

  @inline(__always)
  static func table(_ p: UnsafeRawPointer) -> Table {
    let words = p.loadUnaligned(as: SIMD4<UInt32>.self)
    return SIMD8(lowHalf: words, highHalf: words)
  }

  @inline(__always)
  static func low(_ p: UnsafeRawPointer, _ table: Table) -> Weights {
    let codes = p.loadUnaligned(as: SIMD8<UInt32>.self) & SIMD8(repeating: 0x0f0f_0f0f)
    return lanes_lookup8(table, codes)
  }

  @inline(__always)
  static func high(_ p: UnsafeRawPointer, _ table: Table) -> Weights {
    let codes = (p.loadUnaligned(as: SIMD8<UInt32>.self) &>> 4) & SIMD8(repeating: 0x0f0f_0f0f)
    return lanes_lookup8(table, codes)
  }

  @inline(__always)
  static func bytes(_ p: UnsafeRawPointer) -> Weights {
    p.loadUnaligned(as: SIMD8<UInt32>.self)
  }

  @inline(__always)
  static func groupScale(_ p: UnsafeRawPointer) -> GroupScale { lanes_pair_scale8(p) }

  // The group scale rides on the multiply-add that widens products to int32, so a group needs
  // neither a start nor an end.
  @inline(__always)
  static func begin(_ total: Sums, correction p: UnsafeRawPointer) -> Sums { total }

  @inline(__always)
  static func dot(
    _ sums: Sums,
    _ weights: Weights,
    _ x: UnsafeRawPointer,
    _ scale: GroupScale
  ) -> Sums {
    lanes_dot8(
      sums,
      weights,
      x.load(as: UInt32.self),
      (x + ActivationRecord.supplement).load(as: UInt32.self),
      scale
    )
  }

  @inline(__always)
  static var tokensAtOnce: Int { 8 }

  @inline(__always)
  static func bareDot(
    _ sums: Sums,
    _ weights: Weights,
    _ x: UnsafeRawPointer,
    _ scale: GroupScale
  ) -> Sums {
    lanes_bare_dot8(sums, weights, x.load(as: UInt32.self), scale)
  }

  @inline(__always)
  static func end(_ total: Sums, _ sums: Sums, _ scale: GroupScale) -> Sums { sums }

  @inline(__always)
  static var holdsSixteenRows: Bool { false }

  @inline(__always)
  static func complete(_ record: UnsafeMutableRawPointer) {
    for half in 0..<2 {
      let codes = loadInt8(record + half * 16)
      let signs = codes &>> 31
      storeInt8((codes ^ signs) &- signs, to: record + ActivationRecord.supplement + half * 16)
    }
  }
}

typealias NativeLanes = AVX2Lanes

extension KernelTable {
  /// The kernels of `AVX2Lanes`.
  public static let avx2 = native
}
