// How a weight matrix `W [rows, columns]` (y = x Wᵀ) lies in memory and in `.idfx` files: constants
// and byte arithmetic only. The same bytes serve every instruction set.
//
// A matrix is cut into tiles of 16 rows; lane r of a vector is row r of the tile. Columns (the k of
// the product) run in lines of 64 bytes, 4 bytes for each of the 16 rows:
//
//     q4  line j, lane r, byte b:  low nibble = code of k = 8j + b, high nibble = k = 8j + 4 + b
//     q8  line j, lane r, byte b:  int8 code of k = 4j + b
//     bf16 (2 lines per 4 k), f32 (4 lines per 4 k):  [k][16 rows], one element per row
//
// Planes, each stored tile after tile:
//     codes      the lines above
//     scales     q4, q8: int8 [group][16 rows], `group` consecutive k share one
//     rowScales  q4, q8: float32 [16 rows]
//
// Value:  w = rowScale[r] · scale[g, r] · codebook[code]      (q8: the code itself)
//
// Rows beyond the matrix have scale 0. Columns beyond `columns` may hold any code: activations are
// padded with zeros there, so that no kernel has an edge case.

/// How the elements of a packed matrix are coded.
public enum WeightEncoding: UInt8, Sendable, CaseIterable {
  /// float32.
  case f32 = 1
  /// bfloat16.
  case bf16 = 2
  /// int8 codes, groups of 32.
  case q8 = 3
  /// 4-bit codebook indices, groups of 32.
  case q4g32 = 4
  /// 4-bit codebook indices, groups of 16.
  case q4g16 = 5

  /// Consecutive k that share a scale; 1 where there are no scales.
  public var group: Int {
    switch self {
    case .f32, .bf16: 1
    case .q8, .q4g32: 32
    case .q4g16: 16
    }
  }

  /// Whether the encoding has scale planes.
  public var isQuantized: Bool { group > 1 }

  /// Whether codes are indices into a codebook.
  public var hasCodebook: Bool { self == .q4g32 || self == .q4g16 }

  /// Name in recipes and reports.
  public var name: String {
    switch self {
    case .f32: "f32"
    case .bf16: "bf16"
    case .q8: "q8"
    case .q4g32: "q4g32"
    case .q4g16: "q4g16"
    }
  }
}

/// The parts of a packed matrix that are stored apart.
public enum WeightPlane: UInt8, Sendable, CaseIterable {
  /// Codes or values.
  case codes = 0
  /// int8 group scales.
  case scales = 1
  /// float32 row scales.
  case rowScales = 2
}

/// Byte arithmetic of one packed matrix.
public struct PackedLayout: Sendable, Hashable {
  /// Rows of a tile.
  public static let tileRows = 16
  /// Multiple to which columns are padded in quantised encodings: the activation block.
  public static let columnAlignment = 32

  /// Output features.
  public let rows: Int
  /// Input features.
  public let columns: Int
  /// Element coding.
  public let encoding: WeightEncoding

  /// A layout, or `nil` when a dimension is not positive or a byte count would overflow.
  public init?(rows: Int, columns: Int, encoding: WeightEncoding) {
    // 2^40 elements is beyond any model and keeps all arithmetic below far from overflow.
    guard rows > 0, columns > 0, rows <= 1 << 40, columns <= 1 << 40,
      rows.multipliedFullWidth(by: columns).high == 0, rows * columns <= 1 << 40
    else { return nil }
    self.rows = rows
    self.columns = columns
    self.encoding = encoding
  }

  /// Number of 16-row tiles.
  public var tiles: Int { (rows + Self.tileRows - 1) / Self.tileRows }

  /// Columns including padding: a multiple of 32 in quantised encodings, else `columns`.
  public var paddedColumns: Int {
    guard encoding.isQuantized else { return columns }
    return (columns + Self.columnAlignment - 1) / Self.columnAlignment * Self.columnAlignment
  }

  /// Groups along a row; 0 where there are no scales.
  public var groups: Int { encoding.isQuantized ? paddedColumns / encoding.group : 0 }

  /// Planes that this encoding has, in file order.
  public var planes: [WeightPlane] {
    encoding.isQuantized ? [.codes, .scales, .rowScales] : [.codes]
  }

  /// Bytes of one tile of a plane.
  public func tileBytes(_ plane: WeightPlane) -> Int {
    switch (plane, encoding) {
    case (.codes, .f32): 64 * columns
    case (.codes, .bf16): 32 * columns
    case (.codes, .q8): 16 * paddedColumns
    case (.codes, .q4g32), (.codes, .q4g16): 8 * paddedColumns
    case (.scales, _): 16 * groups
    case (.rowScales, _): encoding.isQuantized ? 64 : 0
    }
  }

  /// Bytes of a whole plane.
  public func byteCount(_ plane: WeightPlane) -> Int { tiles * tileBytes(plane) }

  /// Bytes of all planes.
  public var byteCount: Int { planes.reduce(0) { $0 + byteCount($1) } }
}
