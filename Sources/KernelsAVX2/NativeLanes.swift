// What reads the same on every instruction set: floats by the C primitives, sums as plain vectors, the table of
// kernels. One file, compiled in each target with the flags of its instruction set: the other folders have links to it.

import CIntrinsics
import KernelCore

extension NativeLanes {
  @inline(__always)
  static func float(_ v: SIMD16<Int32>) -> SIMD16<Float> { lanes_float(v) }

  @inline(__always)
  static func max(_ a: SIMD16<Float>, _ b: SIMD16<Float>) -> SIMD16<Float> {
    lanes_max(a, b)
  }

  @inline(__always)
  static func min(_ a: SIMD16<Float>, _ b: SIMD16<Float>) -> SIMD16<Float> {
    lanes_min(a, b)
  }

  @inline(__always)
  static func select(
    _ a: SIMD16<Float>,
    above b: SIMD16<Float>,
    _ x: SIMD16<Float>,
    _ y: SIMD16<Float>
  ) -> SIMD16<Float> {
    lanes_select(a, b, x, y)
  }

  @inline(__always)
  static func nearestCode(_ position: SIMD16<Float>, _ firsts: SIMD16<Float>) -> SIMD16<UInt32> {
    lanes_nearest_code(position, firsts)
  }

  @inline(__always)
  static func nearest(
    _ position: SIMD16<Float>,
    _ entries: SIMD16<Float>,
    _ firsts: SIMD16<Float>
  ) -> SIMD16<Float> {
    lanes_nearest(position, entries, firsts)
  }

  @inline(__always)
  static func loadInt8(_ p: UnsafeRawPointer) -> SIMD16<Int32> { lanes_load_i8(p) }

  @inline(__always)
  static func storeInt8(_ v: SIMD16<Int32>, to p: UnsafeMutableRawPointer) {
    lanes_store_i8(v, p)
  }

  @inline(__always)
  static func loadFloat16(_ p: UnsafeRawPointer) -> SIMD16<Float> { lanes_load_f16(p) }

  @inline(__always)
  static func storeFloat16(_ v: SIMD16<Float>, to p: UnsafeMutableRawPointer) {
    lanes_store_f16(v, p)
  }

  @inline(__always)
  static func loadBFloat16(_ p: UnsafeRawPointer) -> SIMD16<Float> { lanes_load_bf16(p) }

  @inline(__always)
  static func prefetch(_ p: UnsafeRawPointer) { lanes_prefetch(p) }

  @inline(__always)
  static func prefetchFar(_ p: UnsafeRawPointer) { lanes_prefetch_far(p) }
}

extension NativeLanes {
  @inline(__always)
  static func load(_ p: UnsafeRawPointer) -> Sums { p.loadUnaligned(as: Sums.self) }

  @inline(__always)
  static func store(_ sums: Sums, to p: UnsafeMutableRawPointer) {
    p.storeBytes(of: sums, as: Sums.self)
  }

  @inline(__always)
  static var zero: Sums { Sums(repeating: 0) }

  @inline(__always)
  static func add(_ a: Sums, _ b: Sums) -> Sums { a &+ b }
}

extension KernelTable {
  /// The kernels of this instruction set.
  static let native = KernelTable(
    quantize: { quantizeActivations(NativeLanes.self, $0, $1, $2) },
    pack: { packFloatActivations(NativeLanes.self, $0, $1, $2) },
    linear: { linearTiles(NativeLanes.self, $0, $1, $2, $3) },
    normalize: { KernelCore.normalize(NativeLanes.self, $0, $1, $2) },
    rotate: { KernelCore.rotate(NativeLanes.self, $0, $1, $2) },
    siluGate: { KernelCore.siluGate(NativeLanes.self, $0, $1, $2, $3, $4) },
    add: { addInto(NativeLanes.self, $0, $1, $2, $3) },
    findScales: { KernelCore.findScales(NativeLanes.self, $0, $1, $2) },
    roundGroups: { KernelCore.roundGroups(NativeLanes.self, $0, $1, $2) },
    store: { storePages(NativeLanes.self, $0, $1, $2) },
    attend: { KernelCore.attend(NativeLanes.self, $0, $1, $2) },
    read: { readLines(NativeLanes.self, $0, $1) },
    multiply: { multiplyRegisters(NativeLanes.self, $0, $1) },
    productsPerTurn: KernelCore.productsPerTurn(NativeLanes.self),
    panelTokens: NativeLanes.panelTokens
  )
}
