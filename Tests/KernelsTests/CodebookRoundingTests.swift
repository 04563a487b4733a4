// Rounding to a codebook: codes are those of the nearest entries, scales leave no more error than
// others, and every instruction set gives the same bits.

import Kernels
import Tensors
import TestSupport
import Testing

@Suite struct CodebookRoundingTests {
  typealias Vector = CodebookRounding.Vector

  /// An uneven codebook, one with equal entries in the middle and at the end, one on one side of zero.
  static let codebooks: [[Float]] = [
    [-127, -103, -83, -66, -51, -38, -26, -14, -3, 9, 22, 35, 50, 66, 84, 116],
    [-127, -90, -90, -90, -40, -20, -10, 0, 0, 10, 20, 40, 60, 80, 100, 100],
    (0..<16).map { -127 + 8 * Float($0) },
  ]

  private func rounding(_ entries: [Float], group: Int, isa: ISA) -> CodebookRounding {
    var firstCells = [Int?](repeating: nil, count: 16)
    for cell in -1024..<1024 {
      let centre = Float(cell) / 2 + 0.25
      let nearest = entries.indices.min { abs(entries[$0] - centre) < abs(entries[$1] - centre) }
      for code in 0...(nearest ?? 0) where firstCells[code] == nil { firstCells[code] = cell }
    }
    let ends = [entries[0], entries[15]]
    return CodebookRounding(
      isa: isa,
      entries: entries,
      firstCells: firstCells,
      targets: ends + ends.map { 0.8 * $0 },
      group: group
    )
  }

  /// Groups of ordinary size; then zeros, one large weight, tiny and huge ones.
  private func weights(_ groups: Int, _ group: Int) -> [Vector] {
    var generator = SeededGenerator(seed: UInt64(group))
    let scales: [Float] = [1, 0, 1, 1e-14, 1e13]
    return (0..<(groups * group)).map { k in
      var vector = Vector()
      for (lane, value) in generator.normals(16).enumerated() {
        vector[lane] = value * scales[k / group % scales.count]
      }
      if k == 2 * group { vector[3] = 900 }
      return vector
    }
  }

  private struct Outcome: Equatable {
    var scales: [Vector]
    var errors: [Vector]
    var codes: [UInt8]
  }

  private func outcome(
    _ x: [Vector],
    _ rounding: CodebookRounding,
    group: Int,
    columns: Int,
    importance: [Float]?
  ) -> Outcome {
    var scales = [Vector](repeating: Vector(), count: x.count / group)
    var codes = [UInt8](repeating: 0, count: 8 * x.count)
    return x.withUnsafeBufferPointer { x in
      scales.withUnsafeMutableBufferPointer { scales in
        if let importance {
          importance.withUnsafeBufferPointer {
            rounding.findScales(of: x, columns: columns, importance: $0, into: scales)
          }
        } else {
          rounding.findScales(of: x, columns: columns, into: scales)
        }
        let found = Array(scales)
        codes.withUnsafeMutableBytes {
          rounding.round(x, columns: columns, scales: scales, codes: $0)
        }
        return Outcome(scales: found, errors: Array(scales), codes: codes)
      }
    }
  }

  private func code(_ codes: [UInt8], _ k: Int, _ lane: Int) -> Int {
    let byte = codes[k / 8 * 64 + lane * 4 + k % 4]
    return Int(k % 8 < 4 ? byte & 15 : byte >> 4)
  }

  @Test(arguments: ISA.available, [16, 32])
  func everyMachineGivesTheSameBits(_ isa: ISA, _ group: Int) {
    let x = weights(10, group)
    var generator = SeededGenerator(seed: 5)
    var importance = generator.normals(x.count).map(abs)
    for k in 0..<group { importance[k] = 0 }
    for entries in Self.codebooks {
      for weights in [nil, importance] as [[Float]?] {
        for columns in [x.count, x.count - 5, x.count - group - 9] {
          let results = [ISA.portable, isa].map {
            outcome(
              x,
              rounding(entries, group: group, isa: $0),
              group: group,
              columns: columns,
              importance: weights
            )
          }
          #expect(results[0] == results[1], "\(entries), \(columns) columns")
        }
      }
    }
  }

  @Test(arguments: [16, 32])
  func codesAreNearestAndErrorsAreTheirs(_ group: Int) {
    let x = weights(5, group)
    for entries in Self.codebooks.prefix(2) {
      let portable = rounding(entries, group: group, isa: .portable)
      let columns = x.count - 3
      let result = outcome(x, portable, group: group, columns: columns, importance: nil)
      for (index, scales) in result.scales.enumerated() {
        for lane in 0..<16 {
          let scale = Double(scales[lane])
          var error = 0.0
          var energy = 0.0
          for k in (index * group)..<((index + 1) * group) where k < columns {
            let value = Double(x[k][lane])
            let losses = entries.map { abs(value - scale * Double($0)) }
            let loss = losses[code(result.codes, k, lane)]
            // A tie may fall either way by a rounding of float32.
            #expect(loss <= (losses.min() ?? 0) + 1e-5 * abs(scale) * 127)
            error += loss * loss
            energy += value * value
          }
          #expect(abs(Double(result.errors[index][lane]) - error) <= 1e-3 * error + 1e-9 * energy)
          #expect(error <= 0.05 * energy, "group \(index)")
        }
      }
    }
  }
}
