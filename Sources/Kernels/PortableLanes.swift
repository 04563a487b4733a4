// The primitives in plain Swift, lane by lane: what a processor without vector extensions runs, and
// the oracle that every other instruction set must equal bit for bit.

import KernelCore

/// The primitives of any processor.
enum PortableLanes: Lanes {
  /// 4 int8 weights for each of 16 rows.
  struct Weights {
    var rows: SIMD64<Int8>
  }
  typealias Sums = SIMD16<Int32>
  typealias GroupScale = SIMD16<Int32>
  typealias Table = SIMD16<Int8>

  static var partRows: Int { 16 }

  static func float(_ v: SIMD16<Int32>) -> SIMD16<Float> { map { Float(v[$0]) } }

  static func max(_ a: SIMD16<Float>, _ b: SIMD16<Float>) -> SIMD16<Float> {
    map { a[$0] > b[$0] ? a[$0] : b[$0] }
  }

  static func min(_ a: SIMD16<Float>, _ b: SIMD16<Float>) -> SIMD16<Float> {
    map { a[$0] < b[$0] ? a[$0] : b[$0] }
  }

  static func select(
    _ a: SIMD16<Float>,
    above b: SIMD16<Float>,
    _ x: SIMD16<Float>,
    _ y: SIMD16<Float>
  ) -> SIMD16<Float> {
    map { a[$0] > b[$0] ? x[$0] : y[$0] }
  }

  static func nearestCode(_ position: SIMD16<Float>, _ firsts: SIMD16<Float>) -> SIMD16<UInt32> {
    var codes = SIMD16<UInt32>(repeating: 0)
    for lane in 0..<16 {
      // Halves what is left of the entries, four times.
      var code = 0
      for half in 1...4 {
        let step = 16 >> half
        if position[lane] >= firsts[code + step] { code += step }
      }
      codes[lane] = UInt32(code)
    }
    return codes
  }

  static func nearest(
    _ position: SIMD16<Float>,
    _ entries: SIMD16<Float>,
    _ firsts: SIMD16<Float>
  ) -> SIMD16<Float> {
    let codes = nearestCode(position, firsts)
    return map { entries[Int(codes[$0])] }
  }

  static func loadInt8(_ p: UnsafeRawPointer) -> SIMD16<Int32> {
    var v = SIMD16<Int32>(repeating: 0)
    for lane in 0..<16 { v[lane] = Int32(p.load(fromByteOffset: lane, as: Int8.self)) }
    return v
  }

  static func storeInt8(_ v: SIMD16<Int32>, to p: UnsafeMutableRawPointer) {
    for lane in 0..<16 {
      p.storeBytes(of: Int8(truncatingIfNeeded: v[lane]), toByteOffset: lane, as: Int8.self)
    }
  }

  static func loadFloat16(_ p: UnsafeRawPointer) -> SIMD16<Float> {
    map { Float(Float16(bitPattern: p.loadUnaligned(fromByteOffset: $0 * 2, as: UInt16.self))) }
  }

  static func storeFloat16(_ v: SIMD16<Float>, to p: UnsafeMutableRawPointer) {
    for lane in 0..<16 {
      p.storeBytes(of: Float16(v[lane]).bitPattern, toByteOffset: lane * 2, as: UInt16.self)
    }
  }

  static func loadBFloat16(_ p: UnsafeRawPointer) -> SIMD16<Float> {
    map {
      Float(bitPattern: UInt32(p.loadUnaligned(fromByteOffset: $0 * 2, as: UInt16.self)) << 16)
    }
  }

  static var holdsSixteenRows: Bool { false }

  static func prefetch(_ p: UnsafeRawPointer) {}

  @inline(__always)
  static func prefetchFar(_ p: UnsafeRawPointer) {}

  static func table(_ p: UnsafeRawPointer) -> Table { p.loadUnaligned(as: Table.self) }

  static func low(_ p: UnsafeRawPointer, _ table: Table) -> Weights {
    weights(p) { table[Int($0 & 15)] }
  }

  static func high(_ p: UnsafeRawPointer, _ table: Table) -> Weights {
    weights(p) { table[Int($0 >> 4)] }
  }

  static func bytes(_ p: UnsafeRawPointer) -> Weights { weights(p) { Int8(bitPattern: $0) } }

  static func groupScale(_ p: UnsafeRawPointer) -> GroupScale { loadInt8(p) }

  static func load(_ p: UnsafeRawPointer) -> Sums { p.loadUnaligned(as: Sums.self) }

  static func store(_ sums: Sums, to p: UnsafeMutableRawPointer) {
    p.storeBytes(of: sums, as: Sums.self)
  }

  static func begin(_ total: Sums, correction p: UnsafeRawPointer) -> Sums { Sums(repeating: 0) }

  static func dot(
    _ sums: Sums,
    _ weights: Weights,
    _ x: UnsafeRawPointer,
    _ scale: GroupScale
  ) -> Sums {
    var result = sums
    for row in 0..<16 {
      for k in 0..<4 {
        let activation = Int32(x.load(fromByteOffset: k, as: Int8.self))
        result[row] += Int32(weights.rows[row * 4 + k]) * activation
      }
    }
    return result
  }

  static var tokensAtOnce: Int { 4 }

  static var zero: Sums { Sums(repeating: 0) }

  static func add(_ a: Sums, _ b: Sums) -> Sums { a &+ b }

  static func end(_ total: Sums, _ sums: Sums, _ scale: GroupScale) -> Sums {
    total &+ sums &* scale
  }

  static func complete(_ record: UnsafeMutableRawPointer) {}

  private static func map(_ lane: (Int) -> Float) -> SIMD16<Float> {
    var v = SIMD16<Float>(repeating: 0)
    for index in 0..<16 { v[index] = lane(index) }
    return v
  }

  private static func weights(_ p: UnsafeRawPointer, _ decode: (UInt8) -> Int8) -> Weights {
    var rows = SIMD64<Int8>(repeating: 0)
    for index in 0..<64 { rows[index] = decode(p.load(fromByteOffset: index, as: UInt8.self)) }
    return Weights(rows: rows)
  }
}

extension KernelTable {
  /// The kernels of `PortableLanes`.
  static let portable = KernelTable(
    quantize: { quantizeActivations(PortableLanes.self, $0, $1, $2) },
    pack: { packFloatActivations(PortableLanes.self, $0, $1, $2) },
    linear: { linearTiles(PortableLanes.self, $0, $1, $2, $3) },
    normalize: { KernelCore.normalize(PortableLanes.self, $0, $1, $2) },
    rotate: { KernelCore.rotate(PortableLanes.self, $0, $1, $2) },
    siluGate: { KernelCore.siluGate(PortableLanes.self, $0, $1, $2, $3, $4) },
    add: { addInto(PortableLanes.self, $0, $1, $2, $3) },
    findScales: { KernelCore.findScales(PortableLanes.self, $0, $1, $2) },
    roundGroups: { KernelCore.roundGroups(PortableLanes.self, $0, $1, $2) },
    store: { storePages(PortableLanes.self, $0, $1, $2) },
    attend: { KernelCore.attend(PortableLanes.self, $0, $1, $2) },
    read: { readLines(PortableLanes.self, $0, $1) },
    multiply: { multiplyRegisters(PortableLanes.self, $0, $1) },
    productsPerTurn: KernelCore.productsPerTurn(PortableLanes.self),
    panelTokens: PortableLanes.panelTokens
  )
}
