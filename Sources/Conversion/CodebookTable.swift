// Nearest-entry lookup in a codebook, exact and without comparisons. Entries are integers, so every
// boundary between two of them is a multiple of one half: the half-open cell of width one half that a
// value falls into decides its code. Owns two small tables that stay in the first-level cache.

import Tensors

/// The nearest entry of a codebook for every cell of width one half.
final class CodebookTable: Sendable {
  /// Cells, centred on zero; values may reach ±512 in units of codebook entries.
  static let cells = 2048

  /// Value of the nearest entry, by cell.
  let values: [Float]
  /// Code of the nearest entry, by cell.
  let codes: [UInt32]

  /// The least cell, counted from zero, that is given each entry or a later one; `nil` where none is.
  let firstCells: [Int?]

  /// The entries, ascending.
  let entries: [Float]

  /// The table of a codebook; a value at equal distance from two entries gets the lower code.
  convenience init(_ codebook: Codebook) {
    self.init(entries: codebook.values.map(Float.init))
  }

  /// A table of any 16 ascending values: nearest to within a quarter, which does for fitting.
  init(entries: [Float]) {
    precondition(entries.count == 16, "a codebook has 16 entries")
    self.entries = entries
    var values = [Float](repeating: 0, count: Self.cells)
    var codes = [UInt32](repeating: 0, count: Self.cells)
    var firstCells = [Int?](repeating: nil, count: 16)
    for cell in -Self.cells / 2..<Self.cells / 2 {
      let centre = Float(cell) / 2 + 0.25
      var best = 0
      for code in entries.indices where abs(entries[code] - centre) < abs(entries[best] - centre) {
        best = code
      }
      values[cell & (Self.cells - 1)] = entries[best]
      codes[cell & (Self.cells - 1)] = UInt32(best)
      for code in 0...best where firstCells[code] == nil { firstCells[code] = cell }
    }
    self.values = values
    self.codes = codes
    self.firstCells = firstCells
  }

  /// Looks every lane of a cell position up in a table of `cells` entries.
  ///
  /// `position` is twice the value, in codebook units, less one half, plus `CodebookRounding.origin`:
  /// rounding that to an integer is the floor of twice the value, and a tie is a boundary between equal cells.
  @inline(__always)
  static func lookUp(_ position: Lanes, in table: UnsafePointer<Float>) -> Lanes {
    @inline(__always)
    func entry(_ lane: Int) -> Float {
      table[Int(position[lane].bitPattern & UInt32(cells - 1))]
    }
    return Lanes(
      lowHalf: SIMD8(
        entry(0),
        entry(1),
        entry(2),
        entry(3),
        entry(4),
        entry(5),
        entry(6),
        entry(7)
      ),
      highHalf: SIMD8(
        entry(8),
        entry(9),
        entry(10),
        entry(11),
        entry(12),
        entry(13),
        entry(14),
        entry(15)
      )
    )
  }

  /// As `lookUp`, for codes.
  @inline(__always)
  static func lookUp(_ position: Lanes, in table: UnsafePointer<UInt32>) -> SIMD16<UInt32> {
    @inline(__always)
    func entry(_ lane: Int) -> UInt32 {
      table[Int(position[lane].bitPattern & UInt32(cells - 1))]
    }
    return SIMD16(
      lowHalf: SIMD8(
        entry(0),
        entry(1),
        entry(2),
        entry(3),
        entry(4),
        entry(5),
        entry(6),
        entry(7)
      ),
      highHalf: SIMD8(
        entry(8),
        entry(9),
        entry(10),
        entry(11),
        entry(12),
        entry(13),
        entry(14),
        entry(15)
      )
    )
  }
}
