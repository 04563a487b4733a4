// Products of many tokens on AVX2. The byte multiply-add of `dot` needs a third instruction for
// signs; with weights widened to int16, group scales included, two multiply-adds of pairs do the
// work of its three. Tokens pass by six at a time.
//
// Pairs of a record are (k, k+2) and (k+1, k+3): what shifting bytes within words yields.

import CIntrinsics
import KernelCore

extension AVX2Lanes {
  // With fewer tokens widening costs more than it saves.
  @inline(__always)
  static var panelTokens: Int { 12 }

  @inline(__always)
  static var panelUnit: Int { 6 }

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
        if tile.count == 6 {
          sixTokens(tile, source, index)
        } else {
          for token in 0..<tile.count { oneToken(tile, source, index, token) }
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

  @inline(__always)
  private static func pair(_ x: UnsafeRawPointer) -> SIMD8<Int32> {
    SIMD8(repeating: x.load(as: Int32.self))
  }

  /// `floats[0..<16] += scale · sums` for the two halves of a tile.
  @inline(__always)
  private static func finish(
    _ low: SIMD8<Int32>,
    _ high: SIMD8<Int32>,
    _ scale: UnsafePointer<Float>,
    _ floats: UnsafeMutablePointer<Float>
  ) {
    let sums = float(SIMD16(lowHalf: low, highHalf: high))
    let out = UnsafeMutableRawPointer(floats)
    let total = out.loadUnaligned(as: SIMD16<Float>.self)
    out.storeBytes(
      of: total.addingProduct(sums, SIMD16(repeating: scale[0])),
      as: SIMD16<Float>.self
    )
  }

  /// Adds the products of row tile `index` with one token.
  @inline(__always)
  private static func oneToken(
    _ tile: PanelTokens,
    _ source: PanelSource,
    _ index: Int,
    _ token: Int
  ) {
    var low = SIMD8<Int32>(repeating: 0)
    var high = low
    var weights = tile.panel + index * LinearScratch.panelBytes
    var record = tile.x + token * ActivationRecord.bytes
    for _ in 0..<source.count {
      for pairs in 0..<16 {
        let x = pair(record + pairs * 4)
        low = lanes_pair_dot8(low, load(weights), x)
        high = lanes_pair_dot8(high, load(weights + 32), x)
        weights += 64
      }
      record += tile.count * ActivationRecord.bytes
    }
    let sums = tile.sums + (token * PanelSource.sumsStride + index * 16)
    finish(low, high, tile.scales + token, sums)
  }

  /// `oneToken` for six adjacent tokens.
  @inline(__always)
  private static func sixTokens(_ tile: PanelTokens, _ source: PanelSource, _ index: Int) {
    var low0 = SIMD8<Int32>(repeating: 0)
    var high0 = low0
    var low1 = low0
    var high1 = low0
    var low2 = low0
    var high2 = low0
    var low3 = low0
    var high3 = low0
    var low4 = low0
    var high4 = low0
    var low5 = low0
    var high5 = low0
    var weights = tile.panel + index * LinearScratch.panelBytes
    var record = tile.x
    for _ in 0..<source.count {
      for pairs in 0..<16 {
        let low = load(weights)
        let high = load(weights + 32)
        let x0 = pair(record + (pairs * 4))
        low0 = lanes_pair_dot8(low0, low, x0)
        high0 = lanes_pair_dot8(high0, high, x0)
        let x1 = pair(record + (pairs * 4 + 64))
        low1 = lanes_pair_dot8(low1, low, x1)
        high1 = lanes_pair_dot8(high1, high, x1)
        let x2 = pair(record + (pairs * 4 + 128))
        low2 = lanes_pair_dot8(low2, low, x2)
        high2 = lanes_pair_dot8(high2, high, x2)
        let x3 = pair(record + (pairs * 4 + 192))
        low3 = lanes_pair_dot8(low3, low, x3)
        high3 = lanes_pair_dot8(high3, high, x3)
        let x4 = pair(record + (pairs * 4 + 256))
        low4 = lanes_pair_dot8(low4, low, x4)
        high4 = lanes_pair_dot8(high4, high, x4)
        let x5 = pair(record + (pairs * 4 + 320))
        low5 = lanes_pair_dot8(low5, low, x5)
        high5 = lanes_pair_dot8(high5, high, x5)
        weights += 64
      }
      record += 6 * ActivationRecord.bytes
    }
    let sums = tile.sums + index * 16
    let stride = PanelSource.sumsStride
    finish(low0, high0, tile.scales, sums)
    finish(low1, high1, tile.scales + 1, sums + stride)
    finish(low2, high2, tile.scales + 2, sums + 2 * stride)
    finish(low3, high3, tile.scales + 3, sums + 3 * stride)
    finish(low4, high4, tile.scales + 4, sums + 4 * stride)
    finish(low5, high5, tile.scales + 5, sums + 5 * stride)
  }
}
