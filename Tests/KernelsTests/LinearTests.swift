// Matrix products: against a Float64 product of decoded weights, and bit by bit over instruction
// sets, threads and batch sizes.

import Kernels
import Tensors
import TestSupport
import Testing

private let awkward: [(n: Int, k: Int)] = [
  (1, 1), (15, 31), (17, 588), (16, 1), (48, 256), (33, 96), (17, 300), (1, 545),
]

/// An ascending codebook that reaches both ends of the range.
private let skewed = Codebook([
  -127, -100, -79, -60, -44, -29, -15, -3, 0, 8, 21, 36, 53, 73, 97, 127,
])

@Suite struct LinearTests {
  @Test(arguments: WeightEncoding.allCases)
  func productIsCloseToFloat64(_ encoding: WeightEncoding) throws {
    let context = try Machine.oracle.context()
    for (n, k) in awkward {
      let codebook = try #require(skewed)
      let w = try packed(rows: n, columns: k, encoding, seed: 7, codebook: codebook)
      let x = sample(rows: 3, columns: k, seed: 8)
      var y = Matrix(rows: 3, columns: n)
      context.linear(x, w, into: &y)
      // Activations of quantised encodings have one scale for 256 values: half a step of 1/127.
      let bound = encoding.isQuantized ? 0.012 : 2e-6
      for t in 0..<3 {
        let expected = (0..<n).map { row in
          (0..<k).reduce(0.0) { $0 + Double(x[t, $1]) * Double(w.value(row: row, column: $1)) }
        }
        let magnitude = (0..<n).map { row in
          (0..<k).reduce(0.0) { $0 + abs(Double(x[t, $1]) * Double(w.value(row: row, column: $1))) }
        }
        let scale = max(magnitude.max() ?? 0, 1e-30)
        for (actual, wanted) in zip(y.row(t), expected) {
          #expect(abs(Double(actual) - wanted) <= bound * scale, "\(encoding) n \(n) k \(k)")
        }
      }
    }
  }

  @Test func integerActivationsAreExact() throws {
    // Activations that are whole multiples of their scale, small weights: no rounding anywhere.
    let k = 96
    let w = try packed(rows: 20, columns: k, .q4g32, seed: 3)
    var generator = SeededGenerator(seed: 4)
    let values = (0..<k).map {
      $0 == 0 ? 127 : Float(Int.random(in: -127...127, using: &generator))
    }
    let x = Matrix(rows: 1, columns: k, values: values)
    var y = Matrix(rows: 1, columns: 20)
    try Machine.oracle.context().linear(x, w, into: &y)
    for row in 0..<20 {
      let expected = (0..<k).reduce(0.0) {
        $0 + Double(values[$1]) * Double(w.value(row: row, column: $1))
      }
      #expect(abs(Double(y[0, row]) - expected) <= 1e-5 * max(1, abs(expected)))
    }
  }

  @Test(arguments: Machine.all, WeightEncoding.allCases)
  func everyMachineGivesTheSameBits(_ machine: Machine, _ encoding: WeightEncoding) throws {
    let oracle = try Machine.oracle.context()
    let context = try machine.context()
    for (n, k) in awkward {
      let codebook = try #require(skewed)
      let w = try packed(rows: n, columns: k, encoding, seed: 21, codebook: codebook)
      let bias = try tensor(count: n, seed: 22)
      let x = sample(rows: 17, columns: k, seed: 23)
      var expected = Matrix(rows: 17, columns: n)
      oracle.linear(x, w, bias: bias, into: &expected)
      var actual = Matrix(rows: 17, columns: n)
      context.linear(x, w, bias: bias, into: &actual)
      #expect(bits(actual) == bits(expected), "n \(n) k \(k)")
    }
  }

  @Test(arguments: ISA.available, WeightEncoding.allCases)
  func tokensDoNotDependOnTheirBatch(_ isa: ISA, _ encoding: WeightEncoding) throws {
    let context = try ComputeContext(isa: isa, threads: 2)
    for (n, k) in [(17, 588), (33, 96), (150, 40), (1, 1)] {
      let w = try packed(rows: n, columns: k, encoding, seed: 31)
      let x = sample(rows: 17, columns: k, seed: 32)
      var all = Matrix(rows: 17, columns: n)
      context.linear(x, w, into: &all)
      for batch in 1...17 {
        let some = rows(0..<batch, of: x)
        var y = Matrix(rows: batch, columns: n)
        context.linear(some, w, into: &y)
        #expect(bits(y) == Array(bits(all).prefix(batch * n)), "batch \(batch)")
      }
      // Large batches may go another way; their first tokens are the same.
      for batch in [18, 23, 24, 25, 26, 27, 28, 29, 31, 41, 74] {
        let more = sample(rows: batch, columns: k, seed: 33)
        var y = Matrix(rows: batch, columns: n)
        context.linear(more, w, into: &y)
        for t in [0, 5, batch / 2, batch - 1] {
          var one = Matrix(rows: 1, columns: n)
          context.linear(rows(t..<(t + 1), of: more), w, into: &one)
          #expect(y.row(t).map(\.bitPattern) == bits(one), "token \(t) of \(batch)")
        }
      }
      let last = rows(16..<17, of: x)
      var y = Matrix(rows: 1, columns: n)
      context.linear(last, w, into: &y)
      #expect(bits(y) == Array(bits(all).suffix(n)))
    }
  }

  @Test(arguments: ISA.available)
  func severalMatricesEqualTheirSeparateProducts(_ isa: ISA) throws {
    let context = try ComputeContext(isa: isa, threads: 3)
    let k = 75
    let weights = try [
      packed(rows: 20, columns: k, .q4g32, seed: 41), packed(rows: 3, columns: k, .f32, seed: 42),
      packed(rows: 33, columns: k, .q8, seed: 43), packed(rows: 16, columns: k, .bf16, seed: 44),
    ]
    let bias: [DenseTensor?] = [nil, try tensor(count: 3, seed: 45), nil, nil]
    let x = sample(rows: 5, columns: k, seed: 46)
    var together = Matrix(rows: 5, columns: 72)
    context.linear(x, weights, bias: bias, into: &together)
    var offset = 0
    for (weight, bias) in zip(weights, bias) {
      var y = Matrix(rows: 5, columns: weight.rows)
      context.linear(x, weight, bias: bias, into: &y)
      for t in 0..<5 {
        #expect(y.row(t) == Array(together.row(t)[offset..<(offset + weight.rows)]))
      }
      offset += weight.rows
    }
  }

  @Test(arguments: Machine.all)
  func additionScalesAndAccumulates(_ machine: Machine) throws {
    let context = try machine.context()
    let w = try packed(rows: 35, columns: 64, .q8, seed: 51)
    let bias = try tensor(count: 35, seed: 52)
    let perRow = try tensor(count: 35, seed: 53)
    let x = sample(rows: 2, columns: 64, seed: 54)
    var product = Matrix(rows: 2, columns: 35)
    context.linear(x, w, bias: bias, into: &product)
    for scale in [nil, try tensor([0.25]), perRow] {
      var y = sample(rows: 2, columns: 35, seed: 55)
      let before = y.values()
      context.linearAdd(x, w, bias: bias, scale: scale, into: &y)
      for (index, value) in y.values().enumerated() {
        let factor = scale.map { $0.count == 1 ? $0.values[0] : $0.values[index % 35] } ?? 1
        #expect(value == before[index] + product.values()[index] * factor)
      }
    }
  }

  @Test(arguments: ISA.available)
  func manyTokensAreTakenInSlabs(_ isa: ISA) throws {
    let context = try ComputeContext(isa: isa, threads: 2)
    let w = try packed(rows: 17, columns: 40, .q4g16, seed: 61)
    let x = sample(rows: 1160, columns: 40, seed: 62)
    var all = Matrix(rows: 1160, columns: 17)
    context.linear(x, w, into: &all)
    for t in [0, 395, 396, 791, 792, 1159] {
      var y = Matrix(rows: 1, columns: 17)
      context.linear(rows(t..<(t + 1), of: x), w, into: &y)
      #expect(y.row(0) == all.row(t))
    }
  }

  @Test(arguments: WeightEncoding.allCases)
  func gatheredRowsEqualTheDefinition(_ encoding: WeightEncoding) throws {
    let context = try ComputeContext(threads: 1)
    let w = try packed(rows: 37, columns: 70, encoding, seed: 71)
    var y = Matrix(rows: 4, columns: 70)
    context.gatherRows(w, rows: [36, 0, 17], into: &y, at: [0, 3, 1])
    for (row, out) in [(36, 0), (0, 3), (17, 1)] {
      #expect(y.row(out) == (0..<70).map { w.value(row: row, column: $0) })
    }
    #expect(y.row(2).allSatisfy { $0 == 0 })
  }

  @Test func noTokensIsNoWork() throws {
    let context = try ComputeContext(threads: 2)
    let w = try packed(rows: 5, columns: 8, .q8, seed: 81)
    var y = Matrix(rows: 3, columns: 5)
    context.linear(Matrix(rows: 0, columns: 8), w, into: &y)
    #expect(y.rows == 0)
  }
}
