// Products of many tokens with quantised weights: what unpacking costs is shared by all of them.

import Tensors

/// What a panel holds: up to 256 k of one row tile or two.
public struct PanelSource {
  /// Most row tiles: what shares the first-level cache with the activations of a tile of tokens.
  @inlinable public static var mostRowTiles: Int { 2 }
  /// Floats from the sums of a token to those of the next.
  @inlinable public static var sumsStride: Int { mostRowTiles * 16 }

  /// First row tile.
  public let tile: Int
  /// Number of row tiles.
  public let rowTiles: Int
  /// First record of the k: a multiple of 8.
  public let record: Int
  /// Number of records, 1...8.
  public let count: Int

  @inlinable @inline(__always)
  init(tile: Int, rowTiles: Int, record: Int, count: Int) {
    self.tile = tile
    self.rowTiles = rowTiles
    self.record = record
    self.count = count
  }
}

/// Tokens beside a panel: all of them, or a tile, see `TokenTiles`.
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

  /// Calls `body`, which adds products to the sums, for each tile.
  ///
  /// Before the first k it clears a tile's sums, after the last ones it finishes those of a few tiles: where results
  /// go is fetched while `body` computes them. What the next panel is made of is fetched beside the last tiles.
  @inlinable @inline(__always)
  public func forEachTile<L: Lanes>(
    _: L.Type,
    _ a: LinearArguments,
    _ source: PanelSource,
    _ ahead: PanelAhead,
    _ body: (PanelTokens) -> Void
  ) {
    let stride = PanelSource.sumsStride
    let isFirst = source.record == 0
    let isLast = source.record + source.count == a.columns / ActivationRecord.count
    let tiles = TokenTiles(L.self, quantized: count)
    var ahead = ahead
    var left = tiles.count
    var finished = 0
    var first = 0
    while first < count {
      ahead.fetch(L.self, tiles: left)
      let tokens = tiles.count(at: first)
      let sums = sums + first * stride
      if isFirst {
        for index in 0..<(tokens * PanelSource.mostRowTiles) {
          SIMD16<Float>(repeating: 0).store(sums + index * 16)
        }
      }
      if isLast {
        for index in 0..<source.rowTiles {
          fetchResults(L.self, a, source.tile + index, first, tokens)
        }
      }
      body(
        PanelTokens(
          panel: panel,
          count: tokens,
          x: x + first * source.count * ActivationRecord.bytes,
          scales: scales + first,
          sums: sums
        )
      )
      first += tokens
      left -= 1
      // Some tens of tokens are worth a call and still in the first-level cache.
      guard isLast, first - finished >= 24 || first == count else { continue }
      for index in 0..<source.rowTiles {
        let floats = self.sums + (finished * stride + index * 16)
        finishTile(
          L.self,
          a,
          source.tile + index,
          finished,
          first - finished,
          floats,
          stride: stride
        )
      }
      finished = first
    }
  }
}

/// What the next panel is made of, fetched while the last tokens of this one pass: when it is filled, no load
/// waits, and what is fetched late enough is still in the first-level cache.
public struct PanelAhead {
  /// Next line of the codes of a row tile.
  @usableFromInline var codes: UnsafeRawPointer
  /// Lines of this row tile that are left.
  @usableFromInline var left: Int
  /// Lines of a row tile.
  @usableFromInline let lines: Int
  /// Lines that are left.
  @usableFromInline var total: Int
  /// Lines for each tile of tokens.
  @usableFromInline let share: Int
  /// Bytes from the last line of a row tile to the first of the next.
  @usableFromInline let step: Int
  /// Group scales of a row tile.
  @usableFromInline var scales: UnsafeRawPointer
  /// Bytes of these.
  @usableFromInline let scaleBytes: Int
  /// Bytes from the group scales of a row tile to those of the next.
  @usableFromInline let scaleStep: Int

  /// For as many row tiles and k as `source` has, from row tile `tile` and record `record` on, beside `tiles` tiles of
  /// tokens.
  @inlinable @inline(__always)
  init(_ a: LinearArguments, _ source: PanelSource, _ tile: Int, _ record: Int, tiles: Int) {
    let blockBytes = a.encoding == .q8 ? EightBit.blockBytes : FourBitGroup32.blockBytes
    let groups = a.encoding == .q4g16 ? FourBitGroup16.groups : FourBitGroup32.groups
    codes = a.codes + tile * a.tileBytes + record * blockBytes
    lines = source.count * blockBytes / 64
    left = lines
    total = lines * source.rowTiles
    share = max(12, (total + tiles - 1) / tiles)
    step = a.tileBytes - lines * 64
    scales = a.groupScales + (tile * a.groups + record * groups) * 16
    scaleBytes = source.count * groups * 16
    scaleStep = a.groups * 16
  }

  /// Fetches the share of a tile of tokens, of which `tiles` are left, if it is time.
  @inlinable @inline(__always)
  mutating func fetch<L: Lanes>(_: L.Type, tiles: Int) {
    guard (tiles - 1) * share < total else { return }
    for _ in 0..<min(share, total) {
      L.prefetch(codes)
      codes += 64
      left -= 1
      guard left == 0 else { continue }
      for line in 0..<((scaleBytes + 63) / 64) { L.prefetch(scales + line * 64) }
      scales += scaleStep
      codes += step
      left = lines
    }
    total -= min(share, total)
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
  let tiles = TokenTiles(L.self, quantized: a.tokens)
  var group = lower
  while group < upper {
    let end = min(group + LinearScratch.panelRowTiles, upper)
    for block in 0..<blocks {
      let record = block * recordsInBlock
      let count = min(recordsInBlock, records - record)
      var tile = group
      while tile < end {
        let rowTiles = min(PanelSource.mostRowTiles, end - tile)
        let source = PanelSource(tile: tile, rowTiles: rowTiles, record: record, count: count)
        L.fillPanel(a, source, scratch.panel)
        // Next come the other row tiles of the group, then its next 256 k, then the next group.
        let isLast = tile + rowTiles == end
        let isLastBlock = block == blocks - 1
        let ahead = PanelAhead(
          a,
          source,
          isLast && !isLastBlock ? group : tile + rowTiles,
          isLast ? (isLastBlock ? 0 : record + recordsInBlock) : record,
          tiles: tiles.count
        )
        let place = PackedPlace(true, block, 0, tokens: a.tokens, 0, records, blocks)
        let tokens = PanelTokens(
          panel: scratch.panel,
          count: a.tokens,
          x: a.activations + place.record * ActivationRecord.bytes,
          scales: a.activationScales + place.scale,
          sums: scratch.sums(tile - group, tokens: a.tokens)
        )
        L.multiplyPanel(a, source, tokens, ahead)
        tile += rowTiles
      }
    }
    group = end
  }
}
