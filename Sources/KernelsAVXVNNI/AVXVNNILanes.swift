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
  static func load(_ p: UnsafeRawPointer) -> Sums { p.loadUnaligned(as: Sums.self) }

  @inline(__always)
  static func store(_ sums: Sums, to p: UnsafeMutableRawPointer) {
    p.storeBytes(of: sums, as: Sums.self)
  }

  @inline(__always)
  static func begin(_ total: Sums, correction p: UnsafeRawPointer) -> Sums {
    Sums(repeating: p.load(as: Int32.self))
  }

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
  static var zero: Sums { Sums(repeating: 0) }

  @inline(__always)
  static func add(_ a: Sums, _ b: Sums) -> Sums { a &+ b }

  @inline(__always)
  static func end(_ total: Sums, _ sums: Sums, _ scale: GroupScale) -> Sums {
    total &+ sums &* scale
  }

  @inline(__always)
  static var holdsSixteenRows: Bool { false }

  @inline(__always)
  static func complete(_ record: UnsafeMutableRawPointer) {
    let first = -128 &* lanes_sum16(record)
    let second = -128 &* lanes_sum16(record + 16)
    let corrections = (record + ActivationRecord.supplement).assumingMemoryBound(to: Int32.self)
    corrections[0] = first &+ second
    corrections[1] = first
    corrections[2] = second
  }
}

typealias NativeLanes = AVXVNNILanes

extension KernelTable {
  /// The kernels of `AVXVNNILanes`.
  public static let avxvnni = KernelTable(
    quantize: { quantizeActivations(AVXVNNILanes.self, $0, $1, $2) },
    pack: { packFloatActivations(AVXVNNILanes.self, $0, $1, $2) },
    linear: { linearTiles(AVXVNNILanes.self, $0, $1, $2, $3) },
    normalize: { KernelCore.normalize(AVXVNNILanes.self, $0, $1, $2) },
    rotate: { KernelCore.rotate(AVXVNNILanes.self, $0, $1, $2) },
    siluGate: { KernelCore.siluGate(AVXVNNILanes.self, $0, $1, $2, $3, $4) },
    add: { addInto(AVXVNNILanes.self, $0, $1, $2, $3) },
    findScales: { KernelCore.findScales(AVXVNNILanes.self, $0, $1, $2) },
    roundGroups: { KernelCore.roundGroups(AVXVNNILanes.self, $0, $1, $2) },
    store: { storePages(AVXVNNILanes.self, $0, $1, $2) },
    attend: { KernelCore.attend(AVXVNNILanes.self, $0, $1, $2) },
    read: { readLines(AVXVNNILanes.self, $0, $1) },
    multiply: { multiplyRegisters(AVXVNNILanes.self, $0, $1) },
    productsPerTurn: KernelCore.productsPerTurn(AVXVNNILanes.self),
    panelTokens: AVXVNNILanes.panelTokens
  )
}
