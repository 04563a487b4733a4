// Decodes single rows of a packed matrix to float32: the embedding lookup.

import Tensors

/// Row decoding.
enum RowDecoder {
  /// Writes row `row` of `w [n, k]` to `out [k]`.
  ///
  /// Element: `(rowScale · groupScale) · code`, as `PackedMatrix.value(row:column:)` multiplies.
  static func decode(_ w: PackedMatrix, row: Int, into out: UnsafeMutablePointer<Float>) {
    precondition(row >= 0 && row < w.rows, "row outside the matrix")
    let layout = w.layout
    let lane = row % 16
    let codes = w.codes.baseAddress + row / 16 * layout.tileBytes(.codes)
    switch layout.encoding {
    case .f32:
      for k in 0..<w.columns {
        out[k] = codes.load(fromByteOffset: (k * 16 + lane) * 4, as: Float.self)
      }
    case .bf16:
      for k in 0..<w.columns {
        let bits = codes.load(fromByteOffset: (k * 16 + lane) * 2, as: UInt16.self)
        out[k] = BFloat16(bitPattern: bits).float
      }
    case .q8:
      for k in 0..<w.columns {
        let code = codes.load(fromByteOffset: k / 4 * 64 + lane * 4 + k % 4, as: Int8.self)
        out[k] = scale(w, row: row, group: k / 32) * Float(code)
      }
    case .q4g32, .q4g16:
      let book = w.codebook.values.map(Float.init)
      for k in 0..<w.columns {
        let byte = codes.load(fromByteOffset: k / 8 * 64 + lane * 4 + k % 4, as: UInt8.self)
        let code = Int(k % 8 < 4 ? byte & 15 : byte >> 4)
        out[k] = scale(w, row: row, group: k / layout.encoding.group) * book[code]
      }
    }
  }

  private static func scale(_ w: PackedMatrix, row: Int, group: Int) -> Float {
    guard let scales = w.scales, let rowScales = w.rowScales else { return 0 }
    let offset = (row / 16 * w.layout.groups + group) * 16 + row % 16
    let groupScale = scales.baseAddress.load(fromByteOffset: offset, as: Int8.self)
    return rowScales.baseAddress.load(fromByteOffset: row * 4, as: Float.self) * Float(groupScale)
  }
}
