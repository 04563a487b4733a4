// Inputs that the kernel tests share: contexts of every instruction set, seeded matrices, and the
// comparison of results bit by bit.

import Kernels
import Tensors
import TestSupport
import Testing

/// An instruction set and a number of threads.
struct Machine: Sendable, CustomTestStringConvertible {
  let isa: ISA
  let threads: Int

  /// Every instruction set of this machine with 1, 2, 3 and 7 threads.
  static let all = ISA.available.flatMap { isa in
    [1, 2, 3, 7].map { Machine(isa: isa, threads: $0) }
  }

  /// The oracle.
  static let oracle = Machine(isa: .portable, threads: 1)

  var testDescription: String { "\(isa.rawValue) × \(threads)" }

  func context() throws -> ComputeContext { try ComputeContext(isa: isa, threads: threads) }
}

/// A matrix of roughly normal values; some rows are far larger than others, some values are zero.
func sample(rows: Int, columns: Int, seed: UInt64) -> Matrix {
  var generator = SeededGenerator(seed: seed)
  var values = generator.normals(rows * columns)
  for index in values.indices where index % 11 == 3 { values[index] = 0 }
  for row in 0..<rows where row % 4 == 2 {
    for column in 0..<columns { values[row * columns + column] *= 37.5 }
  }
  return Matrix(rows: rows, columns: columns, values: values)
}

func tensor(_ values: [Float]) throws -> DenseTensor {
  let shape = try #require(Shape([values.count]))
  return try #require(DenseTensor(shape: shape, values: values))
}

func tensor(count: Int, seed: UInt64, around centre: Float = 0) throws -> DenseTensor {
  var generator = SeededGenerator(seed: seed)
  return try tensor(generator.normals(count).map { $0 * 0.5 + centre })
}

/// A packed matrix of roughly normal weights in which every fifth row has negative group scales.
func packed(
  rows: Int,
  columns: Int,
  _ encoding: WeightEncoding,
  seed: UInt64,
  codebook: Codebook = .uniform
) throws -> PackedMatrix {
  var generator = SeededGenerator(seed: seed)
  let matrix = try #require(
    ReferenceQuantizer.pack(
      generator.normals(rows * columns, scale: 0.1),
      rows: rows,
      columns: columns,
      encoding: encoding,
      codebook: codebook
    )
  )
  guard encoding.isQuantized, let scales = matrix.scales else { return matrix }
  var flipped = AlignedBuffer<Int8>(count: scales.count)
  for index in 0..<scales.count {
    let scale = Int8(bitPattern: scales.bytes[index])
    flipped[index] = index % 5 == 0 ? -scale : scale
  }
  return try #require(
    PackedMatrix(
      layout: matrix.layout,
      codebook: codebook,
      codes: matrix.codes,
      scales: ByteSlice(flipped.freeze()),
      rowScales: matrix.rowScales
    )
  )
}

/// `function` of each value: a product that is zero, plus the values as bias.
func activated(
  _ values: [Float],
  _ function: Activation,
  _ context: ComputeContext
) throws -> Matrix {
  let weight = try packed(rows: values.count, columns: 1, .f32, seed: 1)
  var y = Matrix(rows: 1, columns: values.count)
  context.linear(
    Matrix(rows: 1, columns: 1),
    weight,
    bias: try tensor(values),
    activation: function,
    into: &y
  )
  return y
}

/// Bit patterns, so that equality means equality.
func bits(_ matrix: borrowing Matrix) -> [UInt32] { matrix.values().map(\.bitPattern) }

/// The first rows of a matrix as a matrix of their own.
func rows(_ range: Range<Int>, of matrix: borrowing Matrix) -> Matrix {
  let columns = matrix.columns
  let values = Array(matrix.values()[(range.lowerBound * columns)..<(range.upperBound * columns)])
  return Matrix(rows: range.count, columns: columns, values: values)
}

/// Largest difference relative to the largest magnitude of the expectation.
func relativeError(_ actual: [Float], _ expected: [Double]) -> Double {
  let scale = expected.reduce(1e-30) { max($0, abs($1)) }
  return zip(actual, expected).reduce(0) { max($0, abs(Double($1.0) - $1.1)) } / scale
}
