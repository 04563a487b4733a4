// Makes the bytes of one block of a converted tensor from the source: what the converter writes and what
// `verify --source` compares with. Deterministic: the same block of the same source is the same bytes.

import Tensors
import WeightFiles

/// A codebook and its lookup table.
struct FittedCodebook: Sendable {
  /// What the file stores.
  let codebook: Codebook
  /// What the quantiser uses.
  let table: CodebookTable

  init(_ codebook: Codebook) {
    self.codebook = codebook
    table = CodebookTable(codebook)
  }
}

/// Reads and packs parts of tensors.
struct BlockMaker: Sendable {
  /// Where tensors come from.
  let folder: CheckpointFolder
  /// Low-rank updates by tensor name.
  let updates: [String: LowRankUpdate]

  /// Fits the codebook of a 4-bit tensor.
  func codebook(
    of step: ConversionStep,
    _ layout: PackedLayout,
    _ calibration: ColumnCalibration?
  ) throws(WeightFileError) -> FittedCodebook {
    let rows = try tileSource(step, layout)
    var tile = LaneTile(columns: layout.columns, paddedColumns: layout.paddedColumns)
    let importance = calibration?.importance
    let codebook = try CodebookFit.fit(layout, importance: importance) {
      index throws(WeightFileError) in
      try tile.load(index, from: rows)
      return tile.vectors.withElements { Array($0) }
    }
    return FittedCodebook(codebook)
  }

  /// Packs the tiles `units` of a matrix.
  func packed(
    _ step: ConversionStep,
    _ layout: PackedLayout,
    tiles: Range<Int>,
    table: CodebookTable,
    calibration: ColumnCalibration? = nil
  ) throws(WeightFileError) -> (planes: PackedPlanes, energies: QuantizationEnergies) {
    let rows = try tileSource(step, layout)
    var tile = LaneTile(columns: layout.columns, paddedColumns: layout.paddedColumns)
    var quantizer = TileQuantizer(layout: layout, table: table, calibration: calibration)
    var energies = QuantizationEnergies()
    var planes = PackedPlanes(layout: layout, tiles: tiles.count)
    for (position, index) in tiles.enumerated() {
      try tile.load(index, from: rows)
      energies += tile.vectors.withElements { quantizer.pack($0, at: position, into: &planes) }
    }
    return (planes, energies)
  }

  /// The elements `elements` of a dense tensor as little-endian float32.
  func dense(
    _ step: ConversionStep,
    elements: Range<Int>
  ) throws(WeightFileError) -> (bytes: [UInt8], energies: QuantizationEnergies) {
    let source = TileSource(
      file: try folder.file(of: step.source),
      tensor: step.source,
      rows: 1,
      update: nil
    )
    var values = AlignedBuffer<Float>(count: elements.count)
    var scratch: [UInt8] = []
    try source.readElements(
      from: elements.lowerBound,
      count: elements.count,
      into: &values,
      scratch: &scratch
    )
    var energies = QuantizationEnergies()
    var bytes: [UInt8] = []
    bytes.reserveCapacity(elements.count * 4)
    for index in 0..<values.count {
      let value = values[index]
      energies.signal += Double(value) * Double(value)
      withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes.append(contentsOf: $0) }
    }
    energies.isNotFinite = !energies.signal.isFinite
    return (bytes, energies)
  }

  private func tileSource(
    _ step: ConversionStep,
    _ layout: PackedLayout
  ) throws(WeightFileError) -> TileSource {
    TileSource(
      file: try folder.file(of: step.source),
      tensor: step.source,
      rows: layout.rows,
      update: updates[step.source.name]
    )
  }
}
