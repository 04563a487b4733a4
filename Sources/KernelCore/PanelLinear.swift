// Products of many tokens with quantised weights: what unpacking costs is shared by all of them.

import Tensors

/// What a panel holds: up to 256 k of a row tile.
public struct PanelSource {
  /// Number of the row tile.
  public let tile: Int
  /// First record of the k: a multiple of 8.
  public let record: Int
  /// Number of records, 1...8.
  public let count: Int

  @inlinable @inline(__always)
  init(tile: Int, record: Int, count: Int) {
    self.tile = tile
    self.record = record
    self.count = count
  }
}

/// A tile of tokens beside a panel.
public struct PanelTokens {
  /// The panel.
  public let panel: UnsafeRawPointer
  /// Number of tokens.
  public let count: Int
  /// Activations of the panel's k, `[record][token]`.
  public let x: UnsafeRawPointer
  /// Scales of these activations, `[token]`.
  public let scales: UnsafePointer<Float>
  /// Sums `[token][16 rows]`, before row scales.
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
}

/// `linearTiles` for at most `LinearScratch.mostTokens` tokens: 256 k of a few row tiles are unpacked once,
/// into panels that stay in the first-level cache while all tokens pass, and their sums in the second.
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
  let tiles = TokenTiles(L.self, quantized: a.tokens)
  var tile = lower
  while tile < upper {
    let rowTiles = min(L.panelRowTiles, upper - tile)
    for block in 0..<blocks {
      let record = block * recordsInBlock
      let count = min(recordsInBlock, records - record)
      for index in 0..<rowTiles {
        let source = PanelSource(tile: tile + index, record: record, count: count)
        L.fillPanel(a, source, scratch.panel(index))
      }
      var first = 0
      while first < a.tokens {
        let tokens = tiles.count(at: first)
        let place = PackedPlace(true, block, first, tokens: a.tokens, tokens, records, blocks)
        for index in 0..<rowTiles {
          let sums = scratch.sums + (first * rowTiles + tokens * index) * 16
          if block == 0 {
            for token in 0..<tokens { SIMD16<Float>(repeating: 0).store(sums + token * 16) }
          }
          L.multiplyPanel(
            a,
            PanelSource(tile: tile + index, record: record, count: count),
            PanelTokens(
              panel: scratch.panel(index),
              count: tokens,
              x: a.activations + place.record * ActivationRecord.bytes,
              scales: a.activationScales + place.scale,
              sums: sums
            )
          )
          if block == blocks - 1 { finishTile(L.self, a, tile + index, first, tokens, sums) }
        }
        first += tiles.width
      }
    }
    tile += rowTiles
  }
}
