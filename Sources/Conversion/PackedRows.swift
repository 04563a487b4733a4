// Decodes packed matrices back to rows of float32, tile by tile, by the definition of the layout.

import Tensors

/// Rows of a packed matrix.
enum PackedRows {
  /// The rows of one tile, row-major `[≤ 16, columns]`: exactly the values that the kernels use.
  static func decode(_ matrix: PackedMatrix, tile: Int) -> [Float] {
    let layout = matrix.layout
    let columns = layout.columns
    let first = tile * PackedLayout.tileRows
    let rows = min(PackedLayout.tileRows, layout.rows - first)
    var output = [Float](repeating: 0, count: rows * columns)
    let codes = UnsafeRawBufferPointer(
      rebasing: matrix.codes.bytes[(tile * layout.tileBytes(.codes))...]
    )
    switch layout.encoding {
    case .f32:
      for k in 0..<columns {
        for row in 0..<rows {
          let offset = (k * 16 + row) * 4
          output[row * columns + k] = codes.loadUnaligned(fromByteOffset: offset, as: Float.self)
        }
      }
    case .bf16:
      for k in 0..<columns {
        for row in 0..<rows {
          let bits = codes.loadUnaligned(fromByteOffset: (k * 16 + row) * 2, as: UInt16.self)
          output[row * columns + k] = BFloat16(bitPattern: bits).float
        }
      }
    case .q8, .q4g32, .q4g16:
      guard let scales = matrix.scales, let rowScales = matrix.rowScales else { return output }
      let group = layout.encoding.group
      let entries = matrix.codebook.values.map(Float.init)
      for row in 0..<rows {
        let rowScale = rowScales.bytes.loadUnaligned(
          fromByteOffset: (first + row) * 4,
          as: Float.self
        )
        for start in stride(from: 0, to: columns, by: group) {
          let place = (tile * layout.groups + start / group) * 16 + row
          let scale = rowScale * Float(Int8(bitPattern: scales.bytes[place]))
          for k in start..<min(start + group, columns) {
            let value: Float
            if layout.encoding == .q8 {
              value = Float(Int8(bitPattern: codes[k / 4 * 64 + row * 4 + k % 4]))
            } else {
              let byte = codes[k / 8 * 64 + row * 4 + k % 4]
              value = entries[Int(k % 8 < 4 ? byte & 15 : byte >> 4)]
            }
            output[row * columns + k] = scale * value
          }
        }
      }
    }
    return output
  }
}
