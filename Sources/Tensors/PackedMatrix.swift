// A weight matrix in the packed layout: views of its planes plus the codebook. Owns no bytes itself.
// Refuses planes whose sizes do not fit the layout.

/// An immutable packed weight matrix `W [rows, columns]`, used as `y = x Wᵀ`.
public struct PackedMatrix: Sendable {
  /// Dimensions, coding and byte arithmetic.
  public let layout: PackedLayout
  /// Values of 4-bit codes; unused by other encodings.
  public let codebook: Codebook
  /// Codes or values: `layout.byteCount(.codes)` bytes, 64-byte aligned.
  public let codes: ByteSlice
  /// Group scales, int8 `[tile][group][16]`; empty where there are none.
  public let scales: ByteSlice?
  /// Row scales, float32 `[tile][16]`; empty where there are none.
  public let rowScales: ByteSlice?

  /// A matrix, or `nil` when a plane is missing, misaligned or of the wrong size.
  public init?(
    layout: PackedLayout,
    codebook: Codebook = .uniform,
    codes: ByteSlice,
    scales: ByteSlice? = nil,
    rowScales: ByteSlice? = nil
  ) {
    guard codes.count == layout.byteCount(.codes),
      (scales?.count ?? 0) == layout.byteCount(.scales),
      (rowScales?.count ?? 0) == layout.byteCount(.rowScales),
      [codes, scales, rowScales].allSatisfy({
        UInt(bitPattern: $0?.baseAddress ?? UnsafeRawPointer(bitPattern: 64)) % 64 == 0
      })
    else { return nil }
    self.layout = layout
    self.codebook = codebook
    self.codes = codes
    self.scales = scales
    self.rowScales = rowScales
  }

  /// Output features.
  public var rows: Int { layout.rows }
  /// Input features.
  public var columns: Int { layout.columns }
  /// Bytes of all planes: what one pass over the matrix reads.
  public var byteCount: Int { layout.byteCount }

  /// Decodes one element by the definition of the layout; slow, for tests and export.
  public func value(row: Int, column: Int) -> Float {
    precondition(row >= 0 && row < rows && column >= 0 && column < columns, "out of range")
    let tile = row / 16
    let lane = row % 16
    let base = tile * layout.tileBytes(.codes)
    switch layout.encoding {
    case .f32:
      return codes.bytes.loadUnaligned(
        fromByteOffset: base + (column * 16 + lane) * 4,
        as: Float.self
      )
    case .bf16:
      let offset = base + (column * 16 + lane) * 2
      return BFloat16(
        bitPattern: codes.bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)
      )
      .float
    case .q8:
      let code = Int8(bitPattern: codes.bytes[base + column / 4 * 64 + lane * 4 + column % 4])
      return scale(row: row, column: column) * Float(code)
    case .q4g32, .q4g16:
      let byte = codes.bytes[base + column / 8 * 64 + lane * 4 + column % 4]
      let code = column % 8 < 4 ? byte & 15 : byte >> 4
      return scale(row: row, column: column) * Float(codebook.values[Int(code)])
    }
  }

  /// `rowScale · groupScale` at an element, in that order of multiplication.
  private func scale(row: Int, column: Int) -> Float {
    guard let scales, let rowScales else { return 0 }
    let group = row / 16 * layout.groups + column / layout.encoding.group
    let groupScale = Int8(bitPattern: scales.bytes[group * 16 + row % 16])
    return rowScales.bytes.load(fromByteOffset: row * 4, as: Float.self) * Float(groupScale)
  }
}
