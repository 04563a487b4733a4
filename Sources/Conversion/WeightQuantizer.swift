// Packs one matrix that is in memory: what the converter does to a tensor, for tests, calibration and
// tools. The same bytes as a conversion of the same tensor.

import Kernels
import Tensors
import WeightFiles

/// Packs matrices in memory.
package enum WeightQuantizer {
  /// A packed matrix and what packing lost.
  package struct Result: Sendable {
    /// The matrix.
    package let matrix: PackedMatrix
    /// `Σ w²`.
    package let signalEnergy: Double
    /// `Σ (w − ŵ)²`.
    package let errorEnergy: Double

    /// Squared error relative to the squared norm.
    package var relativeSquaredError: Double {
      signalEnergy > 0 ? errorEnergy / signalEnergy : 0
    }
  }

  /// Packs `weights [rows, columns]`, row-major; 4-bit encodings get a codebook of their own, and use
  /// what calibration has seen of the inputs.
  ///
  /// Gives `nil` when the dimensions do not fit the weights, or a weight is not finite or beyond 1e15.
  package static func pack(
    _ weights: [Float],
    rows: Int,
    columns: Int,
    encoding: WeightEncoding,
    calibration: ColumnCalibration? = nil,
    isa: ISA = .best
  ) -> Result? {
    guard let layout = PackedLayout(rows: rows, columns: columns, encoding: encoding),
      weights.count == rows * columns
    else { return nil }
    var codebook = Codebook.uniform
    if encoding.hasCodebook {
      codebook = CodebookFit.fit(layout, importance: calibration?.importance, isa: isa) {
        lanes(weights, layout, $0)
      }
    }
    var quantizer = TileQuantizer(
      layout: layout,
      table: CodebookTable(codebook),
      calibration: calibration,
      isa: isa
    )
    var planes = PackedPlanes(layout: layout, tiles: layout.tiles)
    var energies = QuantizationEnergies()
    for tile in 0..<layout.tiles {
      let vectors = lanes(weights, layout, tile)
      energies += vectors.withUnsafeBufferPointer { quantizer.pack($0, at: tile, into: &planes) }
    }
    guard !energies.isNotFinite,
      let matrix = PackedMatrix(
        layout: layout,
        codebook: codebook,
        codes: slice(planes.codes),
        scales: encoding.isQuantized ? slice(planes.scales) : nil,
        rowScales: encoding.isQuantized ? slice(planes.rowScales) : nil
      )
    else { return nil }
    return Result(matrix: matrix, signalEnergy: energies.signal, errorEnergy: energies.error)
  }

  private static func slice(_ bytes: [UInt8]) -> ByteSlice {
    ByteSlice(bytes.withUnsafeBytes { ByteRegion(copying: $0) })
  }

  private static func lanes(_ weights: [Float], _ layout: PackedLayout, _ tile: Int) -> [Lanes] {
    let first = tile * PackedLayout.tileRows
    var vectors = [Lanes](repeating: Lanes(), count: layout.paddedColumns)
    for lane in 0..<min(PackedLayout.tileRows, layout.rows - first) {
      for k in 0..<layout.columns {
        vectors[k][lane] = weights[(first + lane) * layout.columns + k]
      }
    }
    return vectors
  }
}
