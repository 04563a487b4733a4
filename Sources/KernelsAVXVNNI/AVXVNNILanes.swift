// AVX2 with AVX-VNNI, which processors without AVX-512 have: half a tile (8 rows) to a vector. Everything is inlined
// from KernelCore; this file only says which instruction stands for which primitive.

import CIntrinsics
import KernelCore

/// The primitives of AVX2 with AVX-VNNI.
enum AVXVNNILanes: UnpackedPanelLanes {
  typealias Weights = SIMD8<UInt32>
  typealias Sums = SIMD8<Int32>
  typealias GroupScale = SIMD8<Int32>
  typealias Table = SIMD8<UInt32>

  @inline(__always)
  static var partRows: Int { 8 }

  // vpdpbusd multiplies unsigned by signed bytes: weights are stored 128 too large, and each group
  // begins at −128 · Σ x.
  @inline(__always)
  static func table(_ p: UnsafeRawPointer) -> Table {
    let words = p.loadUnaligned(as: SIMD4<UInt32>.self) ^ SIMD4(repeating: 0x8080_8080)
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
    p.loadUnaligned(as: SIMD8<UInt32>.self) ^ SIMD8(repeating: 0x8080_8080)
  }

  @inline(__always)
  static func groupScale(_ p: UnsafeRawPointer) -> GroupScale { lanes_load8_i8(p) }

  @inline(__always)
  static func dot(
    _ sums: Sums,
    _ weights: Weights,
    _ x: UnsafeRawPointer,
    _ scale: GroupScale
  ) -> Sums {
    lanes_vnni_dot8(sums, weights, x.load(as: UInt32.self))
  }

  @inline(__always)
  static var tokensAtOnce: Int { 5 }

  // Both halves of a row tile with three tokens are six chains of dot products and six totals; with the weights at
  // hand that fills the registers.
  @inline(__always)
  static var panelUnit: Int { 3 }

  @inline(__always)
  static var panelTokens: Int { 11 }

  @inline(__always)
  static var holdsSixteenRows: Bool { false }
}

typealias NativeLanes = AVXVNNILanes

extension KernelTable {
  /// The kernels of `AVXVNNILanes`.
  public static let avxvnni = native
}
