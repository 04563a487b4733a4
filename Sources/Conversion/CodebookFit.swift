// Fits the 16 values of a codebook to a tensor: Lloyd–Max on a fixed sample of its groups, where the
// scale of every group is free too. Deterministic: the sample depends on the tensor's shape alone, and
// sums run in a fixed order.

import Tensors
import WeightFiles

/// Lloyd–Max fit of a codebook.
enum CodebookFit {
  /// Tiles of which a sample is taken.
  static let tiles = 4
  /// Most weights in a sample.
  static let sampleWeights = 1 << 16
  /// Rounds of codes → values → scales.
  static let rounds = 6

  /// Where fitting starts: what it finds for normally distributed weights in groups of 16 and of 32.
  static func start(group: Int) -> Codebook {
    Codebook([-127, -102, -83, -67, -53, -39, -26, -13, 0, 12, 25, 38, 53, 70, 90, 118]) ?? .uniform
  }

  /// Fits a codebook to a sample of the tensor's groups: whole groups of a few evenly spaced tiles.
  static func fit(_ source: TileSource, _ layout: PackedLayout) throws(WeightFileError) -> Codebook
  {
    let group = layout.encoding.group
    var tile = LaneTile(columns: layout.columns, paddedColumns: layout.paddedColumns)
    var sample: [Lanes] = []
    let tiles = min(tiles, layout.tiles)
    let limit = sampleWeights / 16 / tiles / group
    // Every `step`-th group, so that the sample spans all columns.
    let step = max(1, (layout.groups + limit - 1) / max(limit, 1))
    for index in 0..<tiles {
      try tile.load(layout.tiles * (2 * index + 1) / (2 * tiles), from: source)
      for start in stride(from: 0, to: layout.groups, by: step) {
        tile.vectors.withElements {
          sample.append(contentsOf: $0[(start * group)...].prefix(group))
        }
      }
    }
    return fit(sample, group: group)
  }

  /// Fits a codebook to `sample`: whole groups of `group` vectors, one after the other.
  static func fit(_ sample: [Lanes], group: Int) -> Codebook {
    var codebook = start(group: group)
    for _ in 0..<rounds {
      guard let next = refined(codebook, sample, group: group), next != codebook else { break }
      codebook = next
    }
    return codebook
  }

  /// One round: scales and codes for `codebook`, then the values that fit those best.
  static func refined(_ codebook: Codebook, _ sample: [Lanes], group: Int) -> Codebook? {
    let table = CodebookTable(codebook)
    let search = GroupSearch(table: table, group: group)
    var weighted = [Double](repeating: 0, count: 16)
    var weights = [Double](repeating: 0, count: 16)
    sample.withUnsafeBufferPointer { buffer in
      guard let base = buffer.baseAddress else { return }
      for start in stride(from: 0, to: buffer.count / group * group, by: group) {
        let x = base + start
        let scales = search.bestScales(x)
        for lane in 0..<16 where scales[lane] != 0 {
          let scale = scales[lane]
          let twice = 2 / scale
          for k in 0..<group {
            let value = x[k][lane]
            let position = (value * twice - 0.5) + CodebookTable.rounding
            let cell = Int(position.bitPattern & UInt32(CodebookTable.cells - 1))
            let code = Int(table.codes[cell])
            weighted[code] += Double(scale * value)
            weights[code] += Double(scale * scale)
          }
        }
      }
    }
    return rounded(codebook, weighted, weights)
  }

  /// Values scaled so that the larger end is −127, rounded to whole numbers.
  private static func rounded(
    _ old: Codebook,
    _ weighted: [Double],
    _ weights: [Double]
  ) -> Codebook? {
    var values = old.values.indices.map { code in
      weights[code] > 0 ? weighted[code] / weights[code] : Double(old.values[code])
    }
    values.sort()
    guard let first = values.first, let last = values.last else { return nil }
    let largest = max(-first, last)
    guard largest > 0 else { return nil }
    if last > -first { values = values.reversed().map { -$0 } }
    return Codebook(values.map { Int8(max(-127, min(127, ($0 / largest * 127).rounded()))) })
  }
}
