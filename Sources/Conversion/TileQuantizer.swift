// Packs 16-row tiles of float32 into the planes of a packed matrix: the fast counterpart of
// `ReferenceQuantizer`, with scales searched for least squared error in 4-bit encodings. Owns the
// scratch of one worker. Deterministic: the same tile gives the same bytes on every machine.

import Kernels
import Tensors

/// Energies of what was packed, for the report.
struct QuantizationEnergies: Sendable {
  /// `Σ w²`.
  var signal = 0.0
  /// `Σ (w − ŵ)²`.
  var error = 0.0
  /// Whether a value was met that no weight can have: NaN, infinite, or beyond 1e15.
  var isNotFinite = false

  static func += (sum: inout QuantizationEnergies, more: QuantizationEnergies) {
    sum.signal += more.signal
    sum.error += more.error
    sum.isNotFinite = sum.isNotFinite || more.isNotFinite
  }
}

/// The planes of some consecutive tiles, in the byte order of the file.
struct PackedPlanes {
  var codes: [UInt8]
  var scales: [UInt8]
  var rowScales: [UInt8]

  /// The only plane of a dense tensor.
  init(codes: [UInt8]) {
    self.codes = codes
    scales = []
    rowScales = []
  }

  /// Room for `tiles` tiles.
  init(layout: PackedLayout, tiles: Int) {
    codes = [UInt8](repeating: 0, count: tiles * layout.tileBytes(.codes))
    scales = [UInt8](repeating: 0, count: tiles * layout.tileBytes(.scales))
    rowScales = [UInt8](repeating: 0, count: tiles * layout.tileBytes(.rowScales))
  }
}

/// Packs tiles of one matrix.
struct TileQuantizer: ~Copyable {
  private let layout: PackedLayout
  private let search: GroupSearch
  private let importance: [Float]?
  private var groupScales: AlignedBuffer<Lanes>
  private var compensation: CompensatedRounding?

  /// A quantiser for `layout`; table and calibration count for 4-bit encodings only.
  init(
    layout: PackedLayout,
    table: CodebookTable,
    calibration: ColumnCalibration? = nil,
    isa: ISA = .best
  ) {
    self.layout = layout
    search = GroupSearch(
      table: table,
      group: layout.encoding.hasCodebook ? layout.encoding.group : PackedLayout.columnAlignment,
      isa: isa
    )
    importance = calibration?.paddedImportance(layout.paddedColumns)
    groupScales = AlignedBuffer(count: layout.groups)
    if let feedback = calibration?.feedback {
      compensation = CompensatedRounding(layout: layout, search: search, feedback: feedback)
    } else {
      compensation = nil
    }
  }

  /// Packs one tile.
  ///
  /// - Parameters:
  ///   - x: `[paddedColumns]` vectors, one lane a row.
  ///   - codes: `tileBytes(.codes)` bytes, overwritten.
  ///   - scales: `tileBytes(.scales)` bytes, overwritten.
  ///   - rowScales: `tileBytes(.rowScales)` bytes, overwritten.
  /// - Returns: the energies of the tile.
  mutating func pack(
    _ x: UnsafeBufferPointer<Lanes>,
    codes: UnsafeMutableRawBufferPointer,
    scales: UnsafeMutableRawBufferPointer,
    rowScales: UnsafeMutableRawBufferPointer
  ) -> QuantizationEnergies {
    precondition(x.count == layout.paddedColumns, "tile of another width")
    precondition(codes.count == layout.tileBytes(.codes), "codes of another size")
    precondition(scales.count == layout.tileBytes(.scales), "scales of another size")
    precondition(rowScales.count == layout.tileBytes(.rowScales), "row scales of another size")
    guard let first = x.baseAddress else { return QuantizationEnergies() }
    switch layout.encoding {
    case .f32: return packFloat32(first, codes)
    case .bf16: return packBFloat16(first, codes)
    case .q8: return packInt8(first, codes, scales, rowScales)
    case .q4g32, .q4g16: return packInt4(first, codes, scales, rowScales)
    }
  }

  /// Packs a tile as the `position`-th of the planes: codes, scales, row scales, tile after tile.
  mutating func pack(
    _ x: UnsafeBufferPointer<Lanes>,
    at position: Int,
    into planes: inout PackedPlanes
  ) -> QuantizationEnergies {
    let layout = layout
    func part(
      _ buffer: UnsafeMutableRawBufferPointer,
      _ plane: WeightPlane
    ) -> UnsafeMutableRawBufferPointer {
      let count = layout.tileBytes(plane)
      return .init(rebasing: buffer[(position * count)..<((position + 1) * count)])
    }
    return planes.codes.withUnsafeMutableBytes { codes in
      planes.scales.withUnsafeMutableBytes { scales in
        planes.rowScales.withUnsafeMutableBytes { rowScales in
          pack(
            x,
            codes: part(codes, .codes),
            scales: part(scales, .scales),
            rowScales: part(rowScales, .rowScales)
          )
        }
      }
    }
  }

  // MARK: Floating point

  private func packFloat32(
    _ x: UnsafePointer<Lanes>,
    _ codes: UnsafeMutableRawBufferPointer
  ) -> QuantizationEnergies {
    var energies = QuantizationEnergies()
    for k in 0..<layout.columns {
      let values = x[k]
      codes.storeBytes(of: values, toByteOffset: k &* 64, as: Lanes.self)
      for lane in 0..<16 { energies.signal += Double(values[lane]) * Double(values[lane]) }
    }
    energies.isNotFinite = !energies.signal.isFinite
    return energies
  }

  private func packBFloat16(
    _ x: UnsafePointer<Lanes>,
    _ codes: UnsafeMutableRawBufferPointer
  ) -> QuantizationEnergies {
    var energies = QuantizationEnergies()
    for k in 0..<layout.columns {
      let values = x[k]
      for lane in 0..<16 {
        let coded = BFloat16(values[lane])
        codes.storeBytes(
          of: coded.bitPattern.littleEndian,
          toByteOffset: (k &* 16 &+ lane) &* 2,
          as: UInt16.self
        )
        let difference = Double(values[lane]) - Double(coded.float)
        energies.signal += Double(values[lane]) * Double(values[lane])
        energies.error += difference * difference
      }
    }
    energies.isNotFinite = !energies.signal.isFinite || !energies.error.isFinite
    return energies
  }

  // MARK: Scales

  /// Σx² of every group into `energies`; `false` when a group cannot hold weights.
  private func measure(
    _ x: UnsafePointer<Lanes>,
    _ energies: inout QuantizationEnergies
  ) -> Bool {
    let group = layout.encoding.group
    for index in 0..<layout.groups {
      let energy = GroupSearch.energy(x + index &* group, group)
      for lane in 0..<16 {
        guard energy[lane] <= GroupSearch.largestEnergy else {
          energies.isNotFinite = true
          return false
        }
        energies.signal += Double(energy[lane])
      }
    }
    return true
  }

  /// The row scales for the group scales found: the largest becomes ±127.
  private func rowScales() -> Lanes {
    var largest = Lanes()
    groupScales.withElements { scales in
      for scale in scales {
        for lane in 0..<16 where abs(scale[lane]) > largest[lane] {
          largest[lane] = abs(scale[lane])
        }
      }
    }
    return largest / Lanes(repeating: 127)
  }

  // MARK: int8

  private mutating func packInt8(
    _ x: UnsafePointer<Lanes>,
    _ codes: UnsafeMutableRawBufferPointer,
    _ scales: UnsafeMutableRawBufferPointer,
    _ rowScaleBytes: UnsafeMutableRawBufferPointer
  ) -> QuantizationEnergies {
    var energies = QuantizationEnergies()
    guard measure(x, &energies) else { return energies }
    let group = layout.encoding.group
    for index in 0..<layout.groups {
      let extremes = GroupSearch.extremes(x + index &* group, group)
      var scale = Lanes()
      for lane in 0..<16 where abs(extremes[lane]) >= CodebookRounding.smallest {
        scale[lane] = abs(extremes[lane]) / 127
      }
      groupScales[index] = scale
    }
    let rowScale = rowScales()
    rowScaleBytes.storeBytes(of: rowScale, as: Lanes.self)
    let rounding = Lanes(repeating: CodebookRounding.origin)
    for index in 0..<layout.groups {
      var scale = Lanes()
      var inverse = Lanes()
      for lane in 0..<16 where rowScale[lane] > 0 {
        // Rounded up, so that no value of the group falls beyond ±127.
        let share = min(127, (groupScales[index][lane] / rowScale[lane]).rounded(.up))
        scales[index &* 16 &+ lane] = UInt8(share)
        scale[lane] = rowScale[lane] * share
        inverse[lane] = share > 0 ? 1 / scale[lane] : 0
      }
      var error = Lanes()
      for k in stride(from: index &* group, to: (index &+ 1) &* group, by: 4) {
        var word = SIMD16<UInt32>()
        for byte in 0..<4 {
          let position = x[k &+ byte] * inverse + rounding
          let difference = x[k &+ byte] - scale * (position - rounding)
          error += difference * difference
          // The low byte of the rounded sum is the code, in two's complement.
          var bits = SIMD16<UInt32>()
          for lane in 0..<16 { bits[lane] = position[lane].bitPattern }
          word |= (bits & SIMD16(repeating: 0xff)) &<< SIMD16(repeating: UInt32(8 &* byte))
        }
        codes.storeBytes(of: word, toByteOffset: k &* 16, as: SIMD16<UInt32>.self)
      }
      for lane in 0..<16 { energies.error += Double(error[lane]) }
    }
    return energies
  }

  // MARK: int4

  private mutating func packInt4(
    _ x: UnsafePointer<Lanes>,
    _ codes: UnsafeMutableRawBufferPointer,
    _ scales: UnsafeMutableRawBufferPointer,
    _ rowScaleBytes: UnsafeMutableRawBufferPointer
  ) -> QuantizationEnergies {
    var energies = QuantizationEnergies()
    guard measure(x, &energies) else { return energies }
    let tile = UnsafeBufferPointer(start: x, count: layout.paddedColumns)
    let columns = layout.columns
    groupScales.withMutableElements { found in
      guard let importance else {
        return search.rounding.findScales(of: tile, columns: columns, into: found)
      }
      importance.withUnsafeBufferPointer {
        search.rounding.findScales(of: tile, columns: columns, importance: $0, into: found)
      }
    }
    let rowScale = rowScales()
    rowScaleBytes.storeBytes(of: rowScale, as: Lanes.self)
    if let error = compensation?.pack(x, rowScale: rowScale, codes: codes, scales: scales) {
      energies.error += error
      return energies
    }
    for index in 0..<layout.groups {
      let share = Self.integerScales(groupScales[index], rowScale)
      for lane in 0..<16 {
        scales[index &* 16 &+ lane] = UInt8(bitPattern: Int8(share[lane]))
      }
      groupScales[index] = rowScale * share
    }
    groupScales.withMutableElements { scales in
      search.rounding.round(tile, columns: columns, scales: scales, codes: codes)
      for error in scales {
        for lane in 0..<16 { energies.error += Double(error[lane]) }
      }
    }
    return energies
  }

  /// The whole multiple of the row scale that is nearest to the scale, in ±127.
  static func integerScales(_ scale: Lanes, _ rowScale: Lanes) -> Lanes {
    var share = Lanes()
    for lane in 0..<16 where rowScale[lane] > 0 {
      share[lane] = max(-127, min(127, (scale[lane] / rowScale[lane]).rounded()))
    }
    return share
  }

  /// `1 / scale`, or 0 where the scale is 0.
  @inline(__always)
  static func inverse(_ scale: Lanes) -> Lanes {
    var inverse = Lanes()
    for lane in 0..<16 { inverse[lane] = scale[lane] != 0 ? 1 / scale[lane] : 0 }
    return inverse
  }
}
