// Products of many tokens with quantised weights: what unpacking costs is shared by all of them.

import Tensors

/// What a panel holds: up to 256 k of some row tiles.
public struct PanelSource {
  /// First row tile.
  public let tile: Int
  /// Number of row tiles, at most `Lanes.panelRowTiles`.
  public let rowTiles: Int
  /// First record of the k: a multiple of 8.
  public let record: Int
  /// Number of records, 1...8.
  public let count: Int
  /// First row tile of the panel that follows.
  public let nextTile: Int
  /// First record of the panel that follows.
  public let nextRecord: Int
  /// Floats from the sums of a token to those of the next: an even number of row tiles.
  @inlinable @inline(__always)
  public var sumsStride: Int { Self.sumsStride(rowTiles) }

  @inlinable @inline(__always)
  init(tile: Int, rowTiles: Int, record: Int, count: Int, nextTile: Int, nextRecord: Int) {
    self.tile = tile
    self.rowTiles = rowTiles
    self.record = record
    self.count = count
    self.nextTile = nextTile
    self.nextRecord = nextRecord
  }

  @inlinable @inline(__always)
  static func sumsStride(_ rowTiles: Int) -> Int { (rowTiles + 1) / 2 * 32 }
}

/// The tokens beside a panel: in tiles, see `TokenTiles`.
public struct PanelTokens {
  /// The panel.
  public let panel: UnsafeRawPointer
  /// Number of tokens.
  public let count: Int
  /// Activations of the panel's k, `[tile of tokens][record][token]`.
  public let x: UnsafeRawPointer
  /// Scales of these activations, `[token]`.
  public let scales: UnsafePointer<Float>
  /// Sums before row scales: 16 for each row tile, a token every `PanelSource.sumsStride`.
  public let sums: UnsafeMutablePointer<Float>

  @inlinable @inline(__always)
  init(
    panel: UnsafeRawPointer,
    count: Int,
    x: UnsafeRawPointer,
    scales: UnsafePointer<Float>,
    sums: UnsafeMutablePointer<Float>
  ) {
    self.panel = panel
    self.count = count
    self.x = x
    self.scales = scales
    self.sums = sums
  }

  /// `count` tokens from `first` on, where a tile begins.
  @inlinable @inline(__always)
  public func tile(_ first: Int, _ count: Int, of source: PanelSource) -> PanelTokens {
    PanelTokens(
      panel: panel,
      count: count,
      x: x + first * source.count * ActivationRecord.bytes,
      scales: scales + first,
      sums: sums + first * source.sumsStride
    )
  }
}

/// `linearTiles` for at most `LinearScratch.mostTokens` tokens.
///
/// 256 k of a few row tiles are unpacked once, into a panel that stays in the first-level cache while all tokens
/// pass. The activations of these k then stay in the second-level cache while more panels follow, beside the sums
/// of all of them.
@inlinable @inline(__always)
func panelTiles<L: Lanes>(
  _: L.Type,
  _ a: LinearArguments,
  _ lower: Int,
  _ upper: Int,
  _ scratch: LinearScratch
) {
  let records = a.columns / ActivationRecord.count
  let blocks = (a.columns + ActivationRecord.scaleBlock - 1) / ActivationRecord.scaleBlock
  let recordsInBlock = ActivationRecord.scaleBlock / ActivationRecord.count
  var group = lower
  while group < upper {
    let end = min(group + LinearScratch.panelRowTiles, upper)
    for index in 0..<(a.tokens * LinearScratch.panelRowTiles) {
      SIMD16<Float>(repeating: 0).store(scratch.sums + index * 16)
    }
    for block in 0..<blocks {
      let record = block * recordsInBlock
      let count = min(recordsInBlock, records - record)
      var tile = group
      while tile < end {
        let rowTiles = min(L.panelRowTiles, end - tile)
        let isLast = tile + rowTiles == end
        let isLastBlock = block == blocks - 1
        let source = PanelSource(
          tile: tile,
          rowTiles: rowTiles,
          record: record,
          count: count,
          nextTile: isLast ? (isLastBlock ? end : group) : tile + rowTiles,
          nextRecord: isLast ? (isLastBlock ? 0 : record + recordsInBlock) : record
        )
        L.fillPanel(a, source, scratch.panel)
        let place = PackedPlace(true, block, 0, tokens: a.tokens, 0, records, blocks)
        let tokens = PanelTokens(
          panel: scratch.panel,
          count: a.tokens,
          x: a.activations + place.record * ActivationRecord.bytes,
          scales: a.activationScales + place.scale,
          sums: scratch.sums(tile - group, tokens: a.tokens)
        )
        L.multiplyPanel(a, source, tokens)
        tile += rowTiles
      }
    }
    var first = 0
    while first < a.tokens {
      let tokens = min(32, a.tokens - first)
      for tile in group..<end {
        let index = (tile - group) / L.panelRowTiles * L.panelRowTiles
        let stride = PanelSource.sumsStride(min(L.panelRowTiles, end - group - index))
        let sums = scratch.sums(index, tokens: a.tokens) + first * stride
        let column = (tile - group - index) * 16
        finishTile(L.self, a, tile, first, tokens, sums + column, stride: stride)
      }
      first += tokens
    }
    group = end
  }
}
