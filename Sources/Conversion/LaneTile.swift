// Sixteen rows of a weight matrix, turned so that lane r of a vector is row r: how the quantisers see
// weights. Owns the scratch memory of one worker; reads through `TileSource`.

import Tensors
import WeightFiles

/// Sixteen lanes of float32: one element of each row of a tile.
typealias Lanes = SIMD16<Float>

/// A 16-row tile: `columns` vectors, then zeros up to `paddedColumns`.
struct LaneTile: ~Copyable {
  /// `[paddedColumns]` vectors.
  private(set) var vectors: AlignedBuffer<Lanes>
  private var rows: AlignedBuffer<Float>
  private var raw: [UInt8] = []
  private let columns: Int

  /// Scratch for tiles of a matrix with `columns` columns.
  init(columns: Int, paddedColumns: Int) {
    vectors = AlignedBuffer(count: paddedColumns)
    rows = AlignedBuffer(count: PackedLayout.tileRows * columns)
    self.columns = columns
  }

  /// Loads rows `16·tile …` of the matrix; rows beyond it become zeros.
  mutating func load(_ tile: Int, from source: TileSource) throws(WeightFileError) {
    let columns = self.columns
    let count = try source.readRows(
      from: tile * PackedLayout.tileRows,
      limit: PackedLayout.tileRows,
      into: &rows,
      scratch: &raw
    )
    for index in (count * columns)..<(PackedLayout.tileRows * columns) { rows[index] = 0 }
    rows.withElements { rows in
      vectors.withMutableElements { vectors in
        // Runs of one row, 256 vectors at a time: rows lie a multiple of 4 KiB apart in most
        // models, and reading one element of each in turn would miss the first-level cache every time.
        let output = UnsafeMutableRawBufferPointer(vectors)
        for start in stride(from: 0, to: columns, by: 256) {
          for lane in 0..<PackedLayout.tileRows {
            for k in start..<min(start &+ 256, columns) {
              output.storeBytes(
                of: rows[lane &* columns &+ k],
                toByteOffset: k &* 64 &+ lane &* 4,
                as: Float.self
              )
            }
          }
        }
      }
    }
  }
}

/// Rows of one tensor of a checkpoint as float32, with an adapter's update added where there is one.
struct TileSource: Sendable {
  /// The open file.
  let file: InputFile
  /// The tensor.
  let tensor: CheckpointTensor
  /// Rows of the tensor seen as a matrix.
  let rowCount: Int
  /// Columns of the tensor seen as a matrix.
  let columns: Int
  /// Low-rank update, or `nil`.
  let update: LowRankUpdate?

  /// A tensor as the matrix `[rows, columns]`.
  init(file: InputFile, tensor: CheckpointTensor, rows: Int, update: LowRankUpdate?) {
    self.file = file
    self.tensor = tensor
    rowCount = rows
    columns = tensor.shape.count / rows
    self.update = update
  }

  /// Reads up to `limit` rows from row `first` on; returns how many there were.
  func readRows(
    from first: Int,
    limit: Int,
    into rows: inout AlignedBuffer<Float>,
    scratch: inout [UInt8]
  ) throws(WeightFileError) -> Int {
    let count = max(0, min(limit, rowCount - first))
    try readElements(from: first * columns, count: count * columns, into: &rows, scratch: &scratch)
    if let update {
      rows.withMutableElements { update.add(to: $0, firstRow: first, rows: count) }
    }
    return count
  }

  /// Reads `count` elements from element `first` on, without any update.
  func readElements(
    from first: Int,
    count: Int,
    into elements: inout AlignedBuffer<Float>,
    scratch: inout [UInt8]
  ) throws(WeightFileError) {
    let width = tensor.dtype.byteWidth
    if scratch.count < count * width { scratch = [UInt8](repeating: 0, count: count * width) }
    var failure: WeightFileError?
    scratch.withUnsafeMutableBytes { buffer in
      let part = UnsafeMutableRawBufferPointer(rebasing: buffer[..<(count * width)])
      do throws(WeightFileError) {
        try file.read(at: tensor.offset + first * width, into: part)
      } catch {
        failure = error
        return
      }
      elements.withMutableElements { output in
        FloatDecoding.decode(
          UnsafeRawBufferPointer(part),
          as: tensor.dtype,
          into: UnsafeMutableBufferPointer(rebasing: output[..<count])
        )
      }
    }
    if let failure { throw failure }
  }
}
