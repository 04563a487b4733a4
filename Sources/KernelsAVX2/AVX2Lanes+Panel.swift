// Products of many tokens on AVX2. The byte multiply-add of `dot` needs a third instruction for
// signs; with weights widened to int16, group scales included, two multiply-adds of pairs do the
// work of its three. Tokens pass by up to six at a time.
//
// Pairs of a record are (k, k+2) and (k+1, k+3): what shifting bytes within words yields.

import CIntrinsics
import KernelCore

extension AVX2Lanes {
  // With fewer tokens widening costs more than it saves.
  @inline(__always)
  static var panelTokens: Int { 9 }

  @inline(__always)
  static var panelUnit: Int { 6 }

  @inline(__always)
  static var hasEvenPanels: Bool { true }

  /// Turns 32 int8 codes into 32 int16 in the order of the pairs.
  @inline(__always)
  static func completePanel(_ record: UnsafeMutableRawPointer) {
    let bytes = record.assumingMemoryBound(to: Int8.self)
    let words = record.assumingMemoryBound(to: Int16.self)
    // From the end, so that no code is overwritten before it is read.
    for group in (0..<8).reversed() {
      let k = bytes + group * 4
      let (a, b, c, d) = (k[0], k[1], k[2], k[3])
      words[group * 4] = Int16(a)
      words[group * 4 + 1] = Int16(c)
      words[group * 4 + 2] = Int16(b)
      words[group * 4 + 3] = Int16(d)
    }
  }

  @inline(__always)
  static func multiplyPanel(
    _ a: LinearArguments,
    _ source: PanelSource,
    _ tokens: PanelTokens,
    _ ahead: PanelAhead
  ) {
    tokens.forEachTile(Self.self, a, source, ahead) { tile in
      for index in 0..<source.rowTiles {
        // Nine tokens or more make tiles of four to six.
        switch tile.count {
        case 4: multiply(FourSums.self, tile, source, index)
        case 5: multiply(FiveSums.self, tile, source, index)
        default: multiply(SixSums.self, tile, source, index)
        }
      }
    }
  }

  @inline(__always)
  static func fillPanel(
    _ a: LinearArguments,
    _ source: PanelSource,
    _ panel: UnsafeMutableRawPointer
  ) {
    for index in 0..<source.rowTiles {
      fill(a, source, source.tile + index, panel + index * LinearScratch.panelBytes)
    }
  }

  /// Widens the weights of a row tile to int16, times their group scales: `[pair][16 rows]`.
  @inline(__always)
  private static func fill(
    _ a: LinearArguments,
    _ source: PanelSource,
    _ tile: Int,
    _ panel: UnsafeMutableRawPointer
  ) {
    let table = withUnsafePointer(to: a.codebook) { Self.table(UnsafeRawPointer($0)) }
    let isEight = a.encoding == .q8
    let groups = a.encoding == .q4g16 ? 2 : 1
    let blockBytes = isEight ? 512 : 256
    var codes = a.codes + tile * a.tileBytes + source.record * blockBytes
    var scales = a.groupScales + (tile * a.groups + source.record * groups) * 16
    var out = panel
    for _ in 0..<source.count {
      for half in 0..<2 {
        let source = codes + half * 32
        let target = out + half * 32
        let scale = groupScale(scales + half * 8)
        let second = groups == 2 ? groupScale(scales + 16 + half * 8) : scale
        for index in 0..<8 {
          let weights =
            isEight
            ? bytes(source + index * 64)
            : index % 2 == 0
              ? low(source + index / 2 * 64, table) : high(source + index / 2 * 64, table)
          let factor = index < 4 ? scale : second
          store(lanes_even_pairs8(weights, factor), to: target + index * 128)
          store(lanes_odd_pairs8(weights, factor), to: target + index * 128 + 64)
        }
      }
      codes += blockBytes
      scales += groups * 16
      out += 1024
    }
  }

  /// Adds the products of row tile `index` with the tokens of `S`.
  @inline(__always)
  private static func multiply<S: PanelSums>(
    _: S.Type,
    _ tile: PanelTokens,
    _ source: PanelSource,
    _ index: Int
  ) {
    var sums = S()
    var weights = tile.panel + index * LinearScratch.panelBytes
    var record = tile.x
    for _ in 0..<source.count {
      for pairs in 0..<16 {
        sums.add(load(weights), load(weights + 32), record + pairs * 4)
        weights += 64
      }
      record += S.count * ActivationRecord.bytes
    }
    sums.finish(tile.scales, tile.sums + index * 16)
  }
}

/// Sums of adjacent tokens beside a row tile, which stay in registers.
private protocol PanelSums {
  /// Number of tokens.
  static var count: Int { get }
  /// No products.
  init()
  /// Adds the products of a pair of k: weights of the lower and the upper 8 rows, activations from `x` on.
  mutating func add(_ low: SIMD8<Int32>, _ high: SIMD8<Int32>, _ x: UnsafeRawPointer)
  /// `floats[0..<16] += scales[0] · sums` for the first token, and so on.
  func finish(_ scales: UnsafePointer<Float>, _ floats: UnsafeMutablePointer<Float>)
}

/// One token.
private struct OneSum: PanelSums {
  private var low = SIMD8<Int32>(repeating: 0)
  private var high = SIMD8<Int32>(repeating: 0)

  @inline(__always)
  init() {}

  @inline(__always)
  static var count: Int { 1 }

  @inline(__always)
  mutating func add(_ low: SIMD8<Int32>, _ high: SIMD8<Int32>, _ x: UnsafeRawPointer) {
    let x = SIMD8(repeating: x.load(as: Int32.self))
    self.low = lanes_pair_dot8(self.low, low, x)
    self.high = lanes_pair_dot8(self.high, high, x)
  }

  @inline(__always)
  func finish(_ scales: UnsafePointer<Float>, _ floats: UnsafeMutablePointer<Float>) {
    let sums = AVX2Lanes.float(SIMD16(lowHalf: low, highHalf: high))
    let out = UnsafeMutableRawPointer(floats)
    let total = out.loadUnaligned(as: SIMD16<Float>.self)
    out.storeBytes(
      of: total.addingProduct(sums, SIMD16(repeating: scales[0])),
      as: SIMD16<Float>.self
    )
  }
}

/// The tokens of `A`, then those of `B`.
private struct BothSums<A: PanelSums, B: PanelSums>: PanelSums {
  private var a = A()
  private var b = B()

  @inline(__always)
  init() {}

  @inline(__always)
  static var count: Int { A.count + B.count }

  @inline(__always)
  mutating func add(_ low: SIMD8<Int32>, _ high: SIMD8<Int32>, _ x: UnsafeRawPointer) {
    a.add(low, high, x)
    b.add(low, high, x + A.count * ActivationRecord.bytes)
  }

  @inline(__always)
  func finish(_ scales: UnsafePointer<Float>, _ floats: UnsafeMutablePointer<Float>) {
    a.finish(scales, floats)
    b.finish(scales + A.count, floats + A.count * PanelSource.sumsStride)
  }
}

private typealias TwoSums = BothSums<OneSum, OneSum>
private typealias ThreeSums = BothSums<TwoSums, OneSum>
private typealias FourSums = BothSums<TwoSums, TwoSums>
private typealias FiveSums = BothSums<ThreeSums, TwoSums>
private typealias SixSums = BothSums<ThreeSums, ThreeSums>
