// Fits the 16 values of a codebook to a tensor: Lloyd–Max on a fixed sample of its groups, where the
// scale of every group is free too. Deterministic: the sample depends on the tensor's shape alone, and
// sums run in a fixed order.

import Kernels
import Tensors

/// Lloyd–Max fit of a codebook.
enum CodebookFit {
  /// Tiles of which a sample is taken.
  static let tiles = 4
  /// Most weights in a sample.
  static let sampleWeights = 1 << 16
  /// Rounds of codes → values → scales.
  static let rounds = 24

  /// Where fitting starts: what it finds for normally distributed weights in groups of 16 and of 32.
  static func start(group: Int) -> [Float] {
    group < 32
      ? [-127, -103, -83, -66, -51, -38, -26, -14, -3, 9, 22, 35, 50, 66, 84, 116]
      : [-127, -99, -79, -63, -49, -36, -24, -13, -2, 10, 22, 35, 49, 64, 83, 107]
  }

  /// Fits a codebook to a sample of the tensor's groups: whole groups of a few evenly spaced tiles,
  /// which `load` gives as `[paddedColumns]` vectors.
  ///
  /// `importance` is what an error in each column weighs, `[columns]`, or `nil` for all the same.
  static func fit<Failure: Error>(
    _ layout: PackedLayout,
    importance: [Float]? = nil,
    isa: ISA = .best,
    load: (Int) throws(Failure) -> [Lanes]
  ) throws(Failure) -> Codebook {
    let group = layout.encoding.group
    var sample = Sample(group: group)
    let tiles = min(tiles, layout.tiles)
    let limit = max(1, sampleWeights / PackedLayout.tileRows / tiles / group)
    // Every `step`-th group, so that the sample spans all columns.
    let step = (layout.groups + limit - 1) / limit
    for index in 0..<tiles {
      let vectors = try load(layout.tiles * (2 * index + 1) / (2 * tiles))
      for start in stride(from: 0, to: layout.groups, by: step) {
        let columns = (start * group)..<((start + 1) * group)
        sample.vectors += vectors[columns]
        guard let importance else { continue }
        sample.weights += columns.map { $0 < importance.count ? importance[$0] : 0 }
      }
    }
    return fit(sample, isa)
  }

  /// Whole groups, one after the other.
  private struct Sample {
    /// Columns of a group.
    let group: Int
    /// One lane a row.
    var vectors: [Lanes] = []
    /// What errors weigh, one for each vector; empty: all the same.
    var weights: [Float] = []
  }

  /// Fits a codebook to `sample`.
  private static func fit(_ sample: Sample, _ isa: ISA) -> Codebook {
    var entries = start(group: sample.group)
    for _ in 0..<rounds {
      entries = refined(entries, sample, isa)
    }
    let rounded = entries.map { Int8(max(-127, min(127, $0.rounded()))) }
    return Codebook(rounded) ?? .uniform
  }

  /// One round: scales and codes for `entries`, then the entries that fit those best.
  private static func refined(_ entries: [Float], _ sample: Sample, _ isa: ISA) -> [Float] {
    let group = sample.group
    let table = CodebookTable(entries: entries)
    let search = GroupSearch(table: table, group: group, isa: isa)
    var scales = [Lanes](repeating: Lanes(), count: sample.vectors.count / group)
    var weighted = [Double](repeating: 0, count: 16)
    var weights = [Double](repeating: 0, count: 16)
    let origin = CodebookRounding.origin
    sample.vectors.withUnsafeBufferPointer { x in
      sample.weights.withUnsafeBufferPointer { importance in
        scales.withUnsafeMutableBufferPointer {
          search.rounding.findScales(
            of: x,
            columns: x.count,
            importance: importance.isEmpty ? nil : importance,
            into: $0
          )
        }
        for index in scales.indices {
          for lane in 0..<16 where scales[index][lane] != 0 {
            let scale = scales[index][lane]
            let twice = 2 / scale
            for k in (index * group)..<((index + 1) * group) {
              let value = x[k][lane]
              let position = (value * twice - 0.5) + origin
              let cell = Int(position.bitPattern & UInt32(CodebookTable.cells - 1))
              let code = Int(table.codes[cell])
              let weight = importance.isEmpty ? scale : scale * importance[k]
              weighted[code] += Double(weight * value)
              weights[code] += Double(weight * scale)
            }
          }
        }
      }
    }
    return normalized(
      entries.indices.map { code in
        weights[code] > 0 ? Float(weighted[code] / weights[code]) : entries[code]
      }
    )
  }

  /// Ascending entries, turned and scaled so that the larger end is −127.
  private static func normalized(_ entries: [Float]) -> [Float] {
    var entries = entries.sorted()
    guard let first = entries.first, let last = entries.last, max(-first, last) > 0 else {
      return entries
    }
    if last > -first { entries = entries.reversed().map { -$0 } }
    let factor = 127 / max(-first, last)
    return entries.map { $0 * factor }
  }
}
