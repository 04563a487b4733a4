// AVX-512 with VNNI: a whole tile (16 rows) to a vector. Everything is inlined from KernelCore; this
// file only says which instruction stands for which primitive.

import CIntrinsics
import KernelCore

/// The primitives of AVX-512 with VNNI.
enum AVX512VNNILanes: UnpackedPanelLanes {
  typealias Weights = SIMD16<UInt32>
  typealias Sums = SIMD16<Int32>
  typealias GroupScale = SIMD16<Int32>
  typealias Table = SIMD16<UInt32>

  @inline(__always)
  static var partRows: Int { 16 }

  // vpdpbusd multiplies unsigned by signed bytes: weights are stored 128 too large, and each group
  // begins at −128 · Σ x.
  @inline(__always)
  static func table(_ p: UnsafeRawPointer) -> Table {
    let words = p.loadUnaligned(as: SIMD4<UInt32>.self) ^ SIMD4(repeating: 0x8080_8080)
    let eight = SIMD8(lowHalf: words, highHalf: words)
    return SIMD16(lowHalf: eight, highHalf: eight)
  }

  @inline(__always)
  static func low(_ p: UnsafeRawPointer, _ table: Table) -> Weights {
    let codes = p.loadUnaligned(as: SIMD16<UInt32>.self) & SIMD16(repeating: 0x0f0f_0f0f)
    return lanes_lookup16(table, codes)
  }

  @inline(__always)
  static func high(_ p: UnsafeRawPointer, _ table: Table) -> Weights {
    let codes = (p.loadUnaligned(as: SIMD16<UInt32>.self) &>> 4) & SIMD16(repeating: 0x0f0f_0f0f)
    return lanes_lookup16(table, codes)
  }

  @inline(__always)
  static func bytes(_ p: UnsafeRawPointer) -> Weights {
    p.loadUnaligned(as: SIMD16<UInt32>.self) ^ SIMD16(repeating: 0x8080_8080)
  }

  @inline(__always)
  static func groupScale(_ p: UnsafeRawPointer) -> GroupScale { lanes_load_i8(p) }

  @inline(__always)
  static func dot(
    _ sums: Sums,
    _ weights: Weights,
    _ x: UnsafeRawPointer,
    _ scale: GroupScale
  ) -> Sums {
    lanes_dot16(sums, weights, x.load(as: UInt32.self))
  }

  @inline(__always)
  static var tokensAtOnce: Int { 12 }

  // Two row tiles with six tokens are twelve chains of dot products, enough for processors that begin two in a cycle,
  // and twelve totals; with the weights at hand that fills the registers.
  @inline(__always)
  static var panelUnit: Int { 6 }

  @inline(__always)
  static var panelTokens: Int { 31 }

  @inline(__always)
  static var holdsSixteenRows: Bool { true }
}

typealias NativeLanes = AVX512VNNILanes

extension KernelTable {
  /// The kernels of `AVX512VNNILanes`.
  public static let avx512vnni = native
}
