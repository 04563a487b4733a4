// Panels for instruction sets to which a vector is a whole row tile: two row tiles side by side, ready
// for their dot products.
//
// A record of 32 k is, for each of its groups, the group's scales as int32 `[2 row tiles][16 rows]`, then
// for every four k the weights `[2 row tiles][16 rows][4 k]`. A row tile without a neighbour stands for both.

import Tensors

/// The layout of these panels.
@usableFromInline
enum UnpackedPanel {
  /// Bytes of four k, or of the scales of a group, of two row tiles.
  @inlinable @inline(__always)
  static var lineBytes: Int { 128 }
}

/// Unpacks up to 256 k of two row tiles.
@inlinable @inline(__always)
public func fillUnpackedPanel<L: Lanes>(
  _: L.Type,
  _ a: LinearArguments,
  _ source: PanelSource,
  _ panel: UnsafeMutableRawPointer
) where L.Weights == SIMD16<UInt32>, L.GroupScale == SIMD16<Int32> {
  switch a.encoding {
  case .q4g32: fillUnpackedPanel(L.self, FourBitGroup32.self, a, source, panel)
  case .q4g16: fillUnpackedPanel(L.self, FourBitGroup16.self, a, source, panel)
  default: fillUnpackedPanel(L.self, EightBit.self, a, source, panel)
  }
}

@inlinable @inline(__always)
func fillUnpackedPanel<L: Lanes, F: CodeFormat>(
  _: L.Type,
  _: F.Type,
  _ a: LinearArguments,
  _ source: PanelSource,
  _ panel: UnsafeMutableRawPointer
) where L.Weights == SIMD16<UInt32>, L.GroupScale == SIMD16<Int32> {
  let table = withUnsafePointer(to: a.codebook) { L.table(UnsafeRawPointer($0)) }
  let twosInGroup = 4 / F.groups
  for place in 0..<2 {
    let tile = source.tile + min(place, source.rowTiles - 1)
    var codes = a.codes + tile * a.tileBytes + source.record * F.blockBytes
    var scales = a.groupScales + (tile * a.groups + source.record * F.groups) * 16
    var out = panel + place * 64
    for _ in 0..<source.count {
      for group in 0..<F.groups {
        out.storeBytes(of: L.groupScale(scales + group * 16), as: SIMD16<Int32>.self)
        out += UnpackedPanel.lineBytes
        // In twos, as 4-bit codes share a line: low and high halves need code of their own.
        for two in (group * twosInGroup)..<((group + 1) * twosInGroup) {
          let first = F.weights(L.self, codes, two * 2, table)
          let second = F.weights(L.self, codes, two * 2 + 1, table)
          out.storeBytes(of: first, as: SIMD16<UInt32>.self)
          (out + UnpackedPanel.lineBytes).storeBytes(of: second, as: SIMD16<UInt32>.self)
          out += 2 * UnpackedPanel.lineBytes
        }
      }
      codes += F.blockBytes
      scales += F.groups * 16
    }
  }
}

/// Adds the products of a panel with all tokens, five or six at a time, to their sums.
@inlinable @inline(__always)
public func multiplyUnpackedPanel<L: Lanes>(
  _: L.Type,
  _ a: LinearArguments,
  _ source: PanelSource,
  _ tokens: PanelTokens,
  _ ahead: PanelAhead
) where L.Weights == SIMD16<UInt32>, L.GroupScale == SIMD16<Int32> {
  typealias T = TwoTiles<L>
  let groups = a.encoding == .q4g16 ? 2 : 1
  tokens.forEachTile(L.self, a, source, ahead) { tile in
    // From 25 tokens on, even tiles have five or six.
    if tile.count == 5 {
      multiplyUnpackedPanel(FiveTokens<T>.self, groups, source, tile)
    } else {
      multiplyUnpackedPanel(SixTokens<T>.self, groups, source, tile)
    }
  }
}

/// The products of two row tiles with the tokens of `S`, `groups` to a record.
///
/// One body of 16 k serves groups of 16 and of 32.
@inlinable @inline(__always)
func multiplyUnpackedPanel<S: TokenSums, T: Lanes>(
  _: S.Type,
  _ groups: Int,
  _ source: PanelSource,
  _ tile: PanelTokens
) where S.L == TwoTiles<T>, T.Weights == SIMD16<UInt32>, T.GroupScale == SIMD16<Int32> {
  let sixteens = 2 / groups
  let supplement = groups == 2 ? ActivationRecord.halfCorrections : ActivationRecord.supplement
  var totals = S.zero
  var line = tile.panel
  var record = tile.x
  for _ in 0..<source.count {
    var x = record
    var correction = record + supplement
    for _ in 0..<groups {
      let scale = pairAt(line, as: SIMD16<Int32>.self)
      var products = totals.begin(correction: correction)
      line += UnpackedPanel.lineBytes
      for _ in 0..<sixteens {
        for index in 0..<4 {
          let weights = pairAt(line + index * UnpackedPanel.lineBytes, as: SIMD16<UInt32>.self)
          products.add(weights, x + index * 4, scale)
        }
        line += 4 * UnpackedPanel.lineBytes
        x += 16
      }
      correction += 4
      totals.end(products, scale)
    }
    record += S.count * ActivationRecord.bytes
  }
  totals.addProducts(tile.scales, tile.sums, stride: PanelSource.sumsStride)
}

/// The vectors of two row tiles at `p`.
@inlinable @inline(__always)
func pairAt<Vector>(_ p: UnsafeRawPointer, as _: Vector.Type) -> OfTwoTiles<Vector> {
  OfTwoTiles(p.loadUnaligned(as: Vector.self), (p + 64).loadUnaligned(as: Vector.self))
}
