// Panels for instruction sets that multiply the bytes of four k at once: two parts of 16 or 8 rows side by side,
// ready for their dot products. Parts are two row tiles where a vector is a whole one, else the halves of one.
//
// A record of 32 k is, for each of its groups, the group's scales as int32 `[2 parts][rows]`, then for every four k
// the weights `[2 parts][rows][4 k]`. A row tile without a neighbour stands for both.

import Tensors

/// The layout of these panels.
@usableFromInline
enum UnpackedPanel<L: Lanes> {
  /// Bytes of four k, or of the scales of a group, of one part.
  @inlinable @inline(__always)
  static var partBytes: Int { 4 * L.partRows }
  /// Bytes of the same of both parts.
  @inlinable @inline(__always)
  static var lineBytes: Int { 2 * partBytes }

  /// Pairs of parts that `rowTiles` row tiles make.
  @inlinable @inline(__always)
  static func pairs(_ rowTiles: Int) -> Int { L.partRows == 16 ? 1 : rowTiles }
}

/// Instruction sets that take these panels.
public protocol UnpackedPanelLanes: Lanes {}

extension UnpackedPanelLanes {
  /// Tiles of about the same width.
  @inlinable @inline(__always)
  public static var hasEvenPanels: Bool { true }

  /// Unpacks up to 256 k of the row tiles of `source`.
  @inlinable @inline(__always)
  public static func fillPanel(
    _ a: LinearArguments,
    _ source: PanelSource,
    _ panel: UnsafeMutableRawPointer
  ) {
    switch a.encoding {
    case .q4g32: fillUnpackedPanel(Self.self, FourBitGroup32.self, a, source, panel)
    case .q4g16: fillUnpackedPanel(Self.self, FourBitGroup16.self, a, source, panel)
    default: fillUnpackedPanel(Self.self, EightBit.self, a, source, panel)
    }
  }

  /// Adds the products of a panel with all tokens, a tile of tokens at a time, to their sums.
  @inlinable @inline(__always)
  public static func multiplyPanel(
    _ a: LinearArguments,
    _ source: PanelSource,
    _ tokens: PanelTokens,
    _ ahead: PanelAhead
  ) {
    typealias T = TwoParts<Self>
    let groups = a.encoding == .q4g16 ? 2 : 1
    tokens.forEachTile(Self.self, a, source, ahead) { tile in
      for pair in 0..<UnpackedPanel<Self>.pairs(source.rowTiles) {
        // Even tiles: of five or six from 25 tokens on, or of two or three from five on.
        switch tile.count {
        case 2 where panelUnit == 3:
          multiplyUnpackedPanel(TwoTokens<T>.self, groups, source, tile, pair)
        case 3 where panelUnit == 3:
          multiplyUnpackedPanel(ThreeTokens<T>.self, groups, source, tile, pair)
        case 5 where panelUnit == 6:
          multiplyUnpackedPanel(FiveTokens<T>.self, groups, source, tile, pair)
        default:
          multiplyUnpackedPanel(SixTokens<T>.self, groups, source, tile, pair)
        }
      }
    }
  }
}

/// `fillPanel` for one arrangement of weights.
@inlinable @inline(__always)
func fillUnpackedPanel<L: Lanes, F: CodeFormat>(
  _: L.Type,
  _: F.Type,
  _ a: LinearArguments,
  _ source: PanelSource,
  _ panel: UnsafeMutableRawPointer
) {
  typealias Panel = UnpackedPanel<L>
  let table = withUnsafePointer(to: a.codebook) { L.table(UnsafeRawPointer($0)) }
  let twosInGroup = 4 / F.groups
  for part in 0..<(2 * Panel.pairs(source.rowTiles)) {
    let pair = part / 2
    let place = part % 2
    let tile = source.tile + (L.partRows == 16 ? min(place, source.rowTiles - 1) : pair)
    let row = L.partRows == 16 ? 0 : place * L.partRows
    var codes = a.codes + tile * a.tileBytes + (source.record * F.blockBytes + row * 4)
    var scales = a.groupScales + ((tile * a.groups + source.record * F.groups) * 16 + row)
    var out = panel + (pair * LinearScratch.panelBytes + place * Panel.partBytes)
    for _ in 0..<source.count {
      for group in 0..<F.groups {
        out.storeBytes(of: L.groupScale(scales + group * 16), as: L.GroupScale.self)
        out += Panel.lineBytes
        // In twos, as 4-bit codes share a line: low and high halves need code of their own.
        for two in (group * twosInGroup)..<((group + 1) * twosInGroup) {
          let first = F.weights(L.self, codes, two * 2, table)
          let second = F.weights(L.self, codes, two * 2 + 1, table)
          out.storeBytes(of: first, as: L.Weights.self)
          (out + Panel.lineBytes).storeBytes(of: second, as: L.Weights.self)
          out += 2 * Panel.lineBytes
        }
      }
      codes += F.blockBytes
      scales += F.groups * 16
    }
  }
}

/// The products of a pair of parts with the tokens of `S`, `groups` to a record.
///
/// One body of 16 k serves groups of 16 and of 32.
@inlinable @inline(__always)
func multiplyUnpackedPanel<S: TokenSums, T: Lanes>(
  _: S.Type,
  _ groups: Int,
  _ source: PanelSource,
  _ tile: PanelTokens,
  _ pair: Int
) where S.L == TwoParts<T> {
  typealias Panel = UnpackedPanel<T>
  let sixteens = 2 / groups
  let supplement = groups == 2 ? ActivationRecord.halfCorrections : ActivationRecord.supplement
  var totals = S.zero
  var line = tile.panel + pair * LinearScratch.panelBytes
  var record = tile.x
  for _ in 0..<source.count {
    var x = record
    var correction = record + supplement
    for _ in 0..<groups {
      let scale = pairAt(line, as: T.GroupScale.self)
      var products = totals.begin(correction: correction)
      line += Panel.lineBytes
      for _ in 0..<sixteens {
        for index in 0..<4 {
          let weights = pairAt(line + index * Panel.lineBytes, as: T.Weights.self)
          products.add(weights, x + index * 4, scale)
        }
        line += 4 * Panel.lineBytes
        x += 16
      }
      correction += 4
      totals.end(products, scale)
    }
    record += S.count * ActivationRecord.bytes
  }
  totals.addProducts(tile.scales, tile.sums + pair * 16, stride: PanelSource.sumsStride)
}

/// The vectors of two parts at `p`.
@inlinable @inline(__always)
func pairAt<Vector: BitwiseCopyable>(
  _ p: UnsafeRawPointer,
  as _: Vector.Type
) -> OfTwo<Vector> {
  let bytes = MemoryLayout<Vector>.size
  return OfTwo(
    p.loadUnaligned(as: Vector.self),
    (p + bytes).loadUnaligned(as: Vector.self)
  )
}
