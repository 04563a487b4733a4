// Float32 activations: row-major, contiguous, owned, sized once for the most rows a pass can have.
// Refuses row counts beyond its capacity.

/// Row-major float32 matrix `[rows, columns]` with room for `capacity` rows.
public struct Matrix: ~Copyable {
  /// Elements per row; the stride between rows.
  public private(set) var columns: Int
  /// Most rows that fit.
  public private(set) var capacity: Int
  /// Rows in use.
  public private(set) var rows: Int
  /// Storage `[capacity, columns]`.
  public var storage: AlignedBuffer<Float>

  /// A zero matrix with all `rows` in use.
  public init(rows: Int, columns: Int) {
    storage = AlignedBuffer(count: rows * columns)
    self.rows = rows
    self.columns = columns
    capacity = rows
  }

  /// A matrix that holds `values` in row-major order.
  public init(rows: Int, columns: Int, values: [Float]) {
    precondition(values.count == rows * columns, "values do not fill the matrix")
    self.init(rows: rows, columns: columns)
    for index in values.indices { storage[index] = values[index] }
  }

  /// Bytes of the rows in use.
  public var byteCount: Int { rows * columns * MemoryLayout<Float>.stride }

  /// Sets the number of rows in use; contents of rows that come into use are unspecified.
  public mutating func resize(rows: Int) {
    precondition(rows >= 0 && rows <= capacity, "more rows than the matrix has room for")
    self.rows = rows
  }

  /// Takes the storage for rows of `columns` elements; no rows are in use then.
  public mutating func reshape(columns: Int) {
    precondition(columns > 0, "rows without elements")
    self.columns = columns
    capacity = storage.count / columns
    rows = 0
  }

  /// One element.
  public subscript(row: Int, column: Int) -> Float {
    get { storage[row * columns + column] }
    set { storage[row * columns + column] = newValue }
  }

  /// A copy of the rows in use, row-major.
  public borrowing func values() -> [Float] {
    storage.withElements { Array($0.prefix(rows * columns)) }
  }

  /// A copy of one row.
  public borrowing func row(_ row: Int) -> [Float] {
    precondition(row >= 0 && row < rows, "row out of range")
    return storage.withElements { Array($0[(row * columns)..<((row + 1) * columns)]) }
  }
}
