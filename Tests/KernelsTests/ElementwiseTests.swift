// Norms, rotary embedding, gates and activation functions: against Float64 definitions, and bit by
// bit over instruction sets and threads.

import Foundation
import Kernels
import Tensors
import TestSupport
import Testing

private let widths = [1, 8, 15, 16, 31, 128, 588]

@Suite struct ElementwiseTests {
  @Test(arguments: widths)
  func normsAreCloseToFloat64(_ width: Int) throws {
    let context = try Machine.oracle.context()
    let x = sample(rows: 5, columns: width, seed: 1)
    let weight = try tensor(count: width, seed: 2, around: 1)
    let bias = try tensor(count: width, seed: 3)
    var rms = Matrix(rows: 5, columns: width)
    context.rmsNorm(x, weight: weight, eps: 1e-6, into: &rms)
    var layer = Matrix(rows: 5, columns: width)
    context.layerNorm(x, weight: weight, bias: bias, eps: 1e-5, into: &layer)
    for t in 0..<5 {
      let row = x.row(t).map(Double.init)
      let meanSquare = row.reduce(0) { $0 + $1 * $1 } / Double(width)
      let mean = row.reduce(0, +) / Double(width)
      let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
      let w = weight.values.map(Double.init)
      let b = bias.values.map(Double.init)
      let expectedRMS = (0..<width).map { w[$0] * row[$0] / (meanSquare + 1e-6).squareRoot() }
      let expectedLayer = (0..<width).map {
        (row[$0] - mean) / (variance + 1e-5).squareRoot() * w[$0] + b[$0]
      }
      #expect(relativeError(rms.row(t), expectedRMS) < 1e-6)
      // One element: x − mean is zero and only the bias remains.
      #expect(relativeError(layer.row(t), expectedLayer) < 2e-6)
    }
  }

  @Test(arguments: Machine.all)
  func everyMachineGivesTheSameBits(_ machine: Machine) throws {
    let oracle = try Machine.oracle.context()
    let context = try machine.context()
    for width in widths {
      let x = sample(rows: 17, columns: width, seed: 4)
      let weight = try tensor(count: width, seed: 5)
      let bias = try tensor(count: width, seed: 6)
      func results(_ context: ComputeContext) throws -> [[UInt32]] {
        var out: [[UInt32]] = []
        var y = Matrix(rows: 17, columns: width)
        context.rmsNorm(x, weight: weight, eps: 1e-6, into: &y)
        out.append(bits(y))
        context.layerNorm(x, weight: weight, bias: bias, eps: 1e-5, into: &y)
        out.append(bits(y))
        for function in Activation.allCases {
          out.append(bits(try activated(x.values(), function, context)))
        }
        context.add(x, into: &y)
        out.append(bits(y))
        if width % 2 == 0 {
          var gated = Matrix(rows: 17, columns: width / 2)
          context.siluGate(x, into: &gated)
          out.append(bits(gated))
          var turned = rows(0..<17, of: x)
          context.rotary(
            &turned,
            column: 0,
            heads: 1,
            headDim: width,
            positions: (0..<17).map { $0 * 97 }
          )
          out.append(bits(turned))
        }
        return out
      }
      #expect(try results(context) == results(oracle), "width \(width)")
    }
  }

  @Test(arguments: [false, true])
  func headNormTouchesOnlyItsColumns(_ hasBias: Bool) throws {
    let context = try ComputeContext(threads: 2)
    let weight = try tensor(count: 12, seed: 7)
    let bias = hasBias ? try tensor(count: 12, seed: 8) : nil
    var x = sample(rows: 3, columns: 50, seed: 9)
    let before = x.values()
    context.headNorm(
      &x,
      column: 7,
      heads: 3,
      headDim: 12,
      weight: weight,
      bias: bias,
      eps: 1e-5
    )
    for t in 0..<3 {
      for column in 0..<50 where column < 7 || column >= 43 {
        #expect(x[t, column] == before[t * 50 + column])
      }
      for head in 0..<3 {
        let start = t * 50 + 7 + head * 12
        let one = Matrix(rows: 1, columns: 12, values: Array(before[start..<(start + 12)]))
        var y = Matrix(rows: 1, columns: 12)
        if let bias {
          context.layerNorm(one, weight: weight, bias: bias, eps: 1e-5, into: &y)
        } else {
          context.rmsNorm(one, weight: weight, eps: 1e-5, into: &y)
        }
        #expect(y.row(0) == Array(x.row(t)[(7 + head * 12)..<(19 + head * 12)]))
      }
    }
  }

  @Test func rotaryTurnsByTheAngleOfThePosition() throws {
    let context = try ComputeContext(threads: 2)
    let headDim = 128
    let positions: [Int32] = [0, 1, 2047, 40_000]
    var x = sample(rows: 4, columns: 2 * headDim + 3, seed: 10)
    let before = x.values()
    context.rotary(&x, column: 3, heads: 2, headDim: headDim, positions: positions)
    for t in 0..<4 {
      #expect(x.row(t).prefix(3) == before[(t * 259)..<(t * 259 + 3)])
      for head in 0..<2 {
        for j in 0..<64 {
          let frequency = 1 / Float(Foundation.pow(10000.0, Double(Float(2 * j) / 128)))
          let angle = Double(Float(positions[t]) * frequency)
          let low = Double(before[t * 259 + 3 + head * 128 + j])
          let high = Double(before[t * 259 + 3 + head * 128 + 64 + j])
          let c = Foundation.cos(angle)
          let s = Foundation.sin(angle)
          let bound = 3e-7 * (abs(low) + abs(high))
          #expect(abs(Double(x[t, 3 + head * 128 + j]) - (low * c - high * s)) <= bound)
          #expect(abs(Double(x[t, 3 + head * 128 + 64 + j]) - (high * c + low * s)) <= bound)
        }
      }
    }
  }

  @Test func activationsAreCloseToFloat64() throws {
    let context = try Machine.oracle.context()
    let values = stride(from: Float(-30), through: 30, by: 0.0137).map { $0 }
    let definitions: [(Activation, (Double) -> Double)] = [
      (.gelu, { 0.5 * $0 * erfc(-$0 / 2.0.squareRoot()) }),
      (.quickGelu, { $0 / (1 + Foundation.exp(-1.702 * $0)) }),
      (.relu, { max($0, 0) }),
      (.silu, { $0 / (1 + Foundation.exp(-$0)) }),
    ]
    for (function, definition) in definitions {
      let x = try activated(values, function, context)
      for (value, result) in zip(values, x.row(0)) {
        let expected = definition(Double(value))
        #expect(
          abs(Double(result) - expected) <= 3e-7 * max(1, abs(expected)),
          "\(function) \(value)"
        )
      }
    }
  }

  @Test(arguments: ISA.available)
  func extremeArgumentsStayFiniteAndNaNStaysNaN(_ isa: ISA) throws {
    let context = try ComputeContext(isa: isa, threads: 1)
    for function in Activation.allCases {
      let x = try activated([-3e30, 3e30, -1e-37, .nan], function, context)
      #expect(abs(x[0, 0]) < 1, "\(function)")
      #expect(x[0, 1] == 3e30, "\(function)")
      #expect(abs(x[0, 2]) <= 1e-37, "\(function)")
      #expect(x[0, 3].isNaN, "\(function)")
    }
  }

  @Test func portableMathIsCloseToTheLibrary() {
    for index in -2000...2000 {
      let x = Double(index) * 0.0311
      #expect(abs(PortableMath.exp(x) / Foundation.exp(x) - 1) < 1e-14)
      #expect(abs(PortableMath.sin(x * 500) - Foundation.sin(x * 500)) < 1e-12)
      #expect(abs(PortableMath.cos(x * 500) - Foundation.cos(x * 500)) < 1e-12)
      let expected = Foundation.tanh(Double(Float(x)))
      #expect(abs(Double(PortableMath.tanh(Float(x))) - expected) <= 1.2e-7 * abs(expected))
    }
    #expect(PortableMath.tanh(0) == 0)
    #expect(PortableMath.tanh(-100) == -1)
  }
}
