import Tensors
import TestSupport
import Testing

/// The largest error a packed value may have, as a share of the largest weight of its row.
private let errorBound: [WeightEncoding: Float] = [
  .f32: 0, .bf16: 1.0 / 256, .q8: 1.0 / 127, .q4g32: 1.0 / 7, .q4g16: 1.0 / 7,
]

@Suite struct PackedMatrixTests {
  @Test(arguments: WeightEncoding.allCases, [(1, 1), (15, 31), (17, 588), (16, 32), (33, 100)])
  func packedValuesStayWithinTheErrorBound(encoding: WeightEncoding, size: (Int, Int)) throws {
    let (rows, columns) = size
    var generator = SeededGenerator(seed: 7)
    let weights = generator.normals(rows * columns)
    let packed = try #require(
      ReferenceQuantizer.pack(weights, rows: rows, columns: columns, encoding: encoding)
    )
    let bound = try #require(errorBound[encoding])
    for row in 0..<rows {
      let expected = weights[(row * columns)..<((row + 1) * columns)]
      let largest = expected.map(abs).max() ?? 0
      for (column, value) in expected.enumerated() {
        #expect(abs(packed.value(row: row, column: column) - value) <= bound * largest)
      }
    }
  }

  @Test func layoutRefusesSizesThatOverflow() {
    #expect(PackedLayout(rows: 0, columns: 4, encoding: .q8) == nil)
    #expect(PackedLayout(rows: 1 << 31, columns: 1 << 31, encoding: .q8) == nil)
    #expect(PackedLayout(rows: .max, columns: .max, encoding: .f32) == nil)
    #expect(PackedLayout(rows: -16, columns: 4, encoding: .f32) == nil)
  }
}
