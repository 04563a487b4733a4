// Packs float32 rows into every encoding, one element at a time: the definition that the fast
// quantisers and kernels are tested against. Round to nearest, scales from the absolute maximum.

/// The plain quantiser: slow, obvious, exact about layout.
public enum ReferenceQuantizer {
  /// Packs `weights [rows, columns]`, row-major.
  ///
  /// Quantised encodings: `rowScale = max over groups of (groupMax / c) / 127` with `c` the largest
  /// codebook magnitude, `scale = ceil-rounded group share`, codes to nearest, ties to the lower code.
  /// - Returns: `nil` when the dimensions are not positive or do not fit `weights`.
  public static func pack(
    _ weights: [Float],
    rows: Int,
    columns: Int,
    encoding: WeightEncoding,
    codebook: Codebook = .uniform
  ) -> PackedMatrix? {
    guard let layout = PackedLayout(rows: rows, columns: columns, encoding: encoding),
      weights.count == rows * columns
    else { return nil }
    var codes = AlignedBuffer<UInt8>(count: layout.byteCount(.codes))
    var scales = AlignedBuffer<Int8>(count: layout.byteCount(.scales))
    var rowScales = AlignedBuffer<Float>(count: layout.byteCount(.rowScales) / 4)
    let levels: [Int] =
      encoding == .q8 ? Array(-127...127) : codebook.values.map(Int.init)
    let top = levels.map(abs).max() ?? 1

    for row in 0..<rows {
      let base = row / 16 * layout.tileBytes(.codes)
      let lane = row % 16
      let values = weights[(row * columns)..<((row + 1) * columns)]
      switch encoding {
      case .f32:
        for (k, value) in values.enumerated() {
          store(value.bitPattern, at: base + (k * 16 + lane) * 4, in: &codes)
        }
      case .bf16:
        for (k, value) in values.enumerated() {
          store(BFloat16(value).bitPattern, at: base + (k * 16 + lane) * 2, in: &codes)
        }
      case .q8, .q4g32, .q4g16:
        let groupMaxima = (0..<layout.groups).map { group in
          values.dropFirst(group * encoding.group).prefix(encoding.group).map(abs).max() ?? 0
        }
        let rowScale = (groupMaxima.max() ?? 0) / Float(top) / 127
        rowScales[row] = rowScale
        for (group, maximum) in groupMaxima.enumerated() where rowScale > 0 {
          let scale = min(127, (maximum / (rowScale * Float(top))).rounded(.up))
          scales[(row / 16 * layout.groups + group) * 16 + lane] = Int8(scale)
        }
        for (k, value) in values.enumerated() {
          let scale = Float(scales[(row / 16 * layout.groups + k / encoding.group) * 16 + lane])
          let step = rowScale * scale
          let index = step > 0 ? nearest(value / step, in: levels) : nearest(0, in: levels)
          if encoding == .q8 {
            codes[base + k / 4 * 64 + lane * 4 + k % 4] = UInt8(bitPattern: Int8(levels[index]))
          } else {
            codes[base + k / 8 * 64 + lane * 4 + k % 4] |= UInt8(k % 8 < 4 ? index : index << 4)
          }
        }
      }
    }
    return PackedMatrix(
      layout: layout,
      codebook: codebook,
      codes: ByteSlice(codes.freeze()),
      scales: encoding.isQuantized ? ByteSlice(scales.freeze()) : nil,
      rowScales: encoding.isQuantized ? ByteSlice(rowScales.freeze()) : nil
    )
  }

  private static func nearest(_ value: Float, in levels: [Int]) -> Int {
    var best = 0
    for index in levels.indices
    where abs(Float(levels[index]) - value) < abs(Float(levels[best]) - value) {
      best = index
    }
    return best
  }

  private static func store<Bits: FixedWidthInteger>(
    _ bits: Bits,
    at offset: Int,
    in buffer: inout AlignedBuffer<UInt8>
  ) {
    for byte in 0..<(Bits.bitWidth / 8) {
      buffer[offset + byte] = UInt8(truncatingIfNeeded: bits >> Bits(8 * byte))
    }
  }
}
