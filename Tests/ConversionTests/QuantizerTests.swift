// The quantisers: what they write is what the layout defines, the error they report is the error there
// is, and it stays under the ceilings that Models/README.md states.

import Conversion
import Foundation
import Kernels
import Tensors
import TestSupport
import Testing
import WeightFiles

/// Random weights of two kinds.
enum SyntheticWeights {
  /// Normal, standard deviation 0.02.
  static func normal(_ count: Int, seed: UInt64) -> [Float] {
    var random = SeededGenerator(seed: seed)
    return (0..<count).map { _ in 0.02 * gaussian(&random) }
  }

  /// Student's t with 5 degrees of freedom: the heavier tails of trained weights.
  static func studentT5(_ count: Int, seed: UInt64) -> [Float] {
    var random = SeededGenerator(seed: seed)
    return (0..<count).map { _ in
      let numerator = gaussian(&random)
      let squares = (0..<5).reduce(Float(0)) { sum, _ in
        let value = gaussian(&random)
        return sum + value * value
      }
      return 0.02 * numerator / (squares / 5).squareRoot()
    }
  }

  /// Box–Muller.
  private static func gaussian(_ random: inout SeededGenerator) -> Float {
    let first = Double.random(in: 0x1p-53..<1, using: &random)
    let second = Double.random(in: 0..<1, using: &random)
    return Float((-2 * log(first)).squareRoot() * cos(2 * .pi * second))
  }
}

@Suite struct QuantizerTests {
  /// Largest relative squared error: encoding, on normal weights, on Student-t5 weights.
  static let ceilings: [(WeightEncoding, Double, Double)] = [
    (.f32, 0, 0), (.bf16, 4e-6, 4e-6), (.q8, 3.5e-5, 6e-5), (.q4g32, 0.00540, 0.00665),
    (.q4g16, 0.00403, 0.00470),
  ]

  @Test(arguments: ceilings)
  func errorStaysUnderItsCeiling(
    _ encoding: WeightEncoding,
    _ normal: Double,
    _ student: Double
  ) throws {
    let rows = 64
    let columns = 4096
    let samples = [
      (SyntheticWeights.normal(rows * columns, seed: 1), normal),
      (SyntheticWeights.studentT5(rows * columns, seed: 2), student),
    ]
    for (weights, ceiling) in samples {
      let packed = try #require(
        WeightQuantizer.pack(weights, rows: rows, columns: columns, encoding: encoding)
      )
      #expect(packed.relativeSquaredError <= ceiling, "\(packed.relativeSquaredError)")
      let bits = Double(packed.matrix.byteCount) * 8 / Double(weights.count)
      #expect(bits < [.q4g16: 4.51, .q4g32: 4.26, .q8: 8.26, .bf16: 16.01][encoding] ?? 32.01)
    }
  }

  @Test(arguments: WeightEncoding.allCases)
  func reportsTheErrorThereIs(_ encoding: WeightEncoding) throws {
    for (rows, columns) in [(1, 1), (16, 32), (17, 33), (40, 588), (5, 100)] {
      let weights = SyntheticWeights.studentT5(rows * columns, seed: UInt64(rows))
      let packed = try #require(
        WeightQuantizer.pack(weights, rows: rows, columns: columns, encoding: encoding)
      )
      var error = 0.0
      var signal = 0.0
      for row in 0..<rows {
        for column in 0..<columns {
          let weight = Double(weights[row * columns + column])
          let difference = weight - Double(packed.matrix.value(row: row, column: column))
          error += difference * difference
          signal += weight * weight
        }
      }
      #expect(abs(packed.signalEnergy - signal) <= 1e-5 * signal)
      #expect(abs(packed.errorEnergy - error) <= 1e-4 * error + 1e-12 * signal)
    }
  }

  @Test(arguments: [WeightEncoding.f32, .bf16])
  func floatingPointIsWhatTheReferenceWrites(_ encoding: WeightEncoding) throws {
    let weights = SyntheticWeights.normal(33 * 70, seed: 9)
    let fast = try #require(
      WeightQuantizer.pack(weights, rows: 33, columns: 70, encoding: encoding)
    )
    let plain = try #require(
      ReferenceQuantizer.pack(weights, rows: 33, columns: 70, encoding: encoding)
    )
    withExtendedLifetime((fast, plain)) {
      #expect(fast.matrix.codes.bytes.elementsEqual(plain.codes.bytes))
    }
  }

  @Test(arguments: [WeightEncoding.q8, .q4g32, .q4g16])
  func losesLessThanThePlainQuantiser(_ encoding: WeightEncoding) throws {
    let rows = 32
    let columns = 512
    let weights = SyntheticWeights.normal(rows * columns, seed: 4)
    let fast = try #require(
      WeightQuantizer.pack(weights, rows: rows, columns: columns, encoding: encoding)
    )
    let plain = try #require(
      ReferenceQuantizer.pack(weights, rows: rows, columns: columns, encoding: encoding)
    )
    let plainError = weights.indices.reduce(0.0) { sum, index in
      let value = plain.value(row: index / columns, column: index % columns)
      return sum + pow(Double(weights[index]) - Double(value), 2)
    }
    #expect(fast.errorEnergy <= (encoding == .q8 ? 1.001 : 0.8) * plainError)
  }

  /// XXH64 of all planes and the codebook, by encoding in the order of `WeightEncoding.allCases`.
  static let hashes: [UInt64] = [
    17_516_479_486_096_457_678, 14_990_255_451_619_334_001, 9_574_021_566_408_374_468,
    912_383_247_624_136_144, 8_229_281_874_397_302_537,
  ]

  /// Same bytes on every machine: multiplications, additions and divisions in a fixed order.
  @Test(arguments: ISA.available)
  func bytesAreTheSameEverywhere(_ isa: ISA) throws {
    let weights = (0..<(48 * 320)).map { index -> Float in
      var random = SeededGenerator(seed: UInt64(index))
      return Float(Int64(bitPattern: random.next()) >> 40) * 0x1p-30
    }
    var hashes: [UInt64] = []
    for encoding in WeightEncoding.allCases {
      let matrix = try #require(
        WeightQuantizer.pack(weights, rows: 48, columns: 320, encoding: encoding, isa: isa)
      ).matrix
      let planes = [matrix.codes, matrix.scales, matrix.rowScales].compactMap { $0 }
      let bytes = withExtendedLifetime(matrix) { planes.flatMap { Array($0.bytes) } }
      hashes.append(XXHash64.hash(bytes + matrix.codebook.values.map { UInt8(bitPattern: $0) }))
    }
    #expect(hashes == Self.hashes)
  }

  @Test(arguments: [WeightEncoding.q8, .q4g32, .q4g16])
  func handlesRowsThatAreNotLikeOthers(_ encoding: WeightEncoding) throws {
    let columns = 96
    var weights = SyntheticWeights.normal(7 * columns, seed: 3)
    for k in 0..<columns {
      weights[columns + k] = 0  // a zero row
      weights[2 * columns + k] = k == 50 ? -3 : 0  // one weight in it
      weights[3 * columns + k] *= 1e-9  // a tiny row
      weights[4 * columns + k] *= 1e9  // a huge one
      weights[5 * columns + k] = 1e-20  // too small to count
      weights[6 * columns + k] = k < 32 ? 1 : 1e-4  // groups of uneven size
    }
    let packed = try #require(
      WeightQuantizer.pack(weights, rows: 7, columns: columns, encoding: encoding)
    )
    func relativeError(_ row: Int) -> Double {
      var error = 0.0
      var signal = 0.0
      for k in 0..<columns {
        let weight = Double(weights[row * columns + k])
        error += pow(weight - Double(packed.matrix.value(row: row, column: k)), 2)
        signal += weight * weight
      }
      return signal > 0 ? error / signal : error
    }
    #expect(relativeError(1) == 0)
    // A fitted codebook need not hold zero: what is left of the zeros beside one large weight.
    #expect(relativeError(2) < 0.02)
    for row in [0, 3, 4] { #expect(relativeError(row) < 0.008) }
    #expect(relativeError(5) == 1)
    #expect(relativeError(6) < 1e-3)
    #expect((0..<columns).allSatisfy { packed.matrix.value(row: 5, column: $0) == 0 })
  }

  @Test(arguments: WeightEncoding.allCases)
  func refusesWhatNoWeightCanBe(_ encoding: WeightEncoding) {
    for bad in [Float.nan, .infinity, -.infinity] {
      var weights = [Float](repeating: 0.5, count: 20 * 40)
      weights[19 * 40 + 39] = bad
      let packed = WeightQuantizer.pack(weights, rows: 20, columns: 40, encoding: encoding)
      #expect(packed.map(\.errorEnergy) == nil)
    }
  }
}
