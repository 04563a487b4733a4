// Resamples the learnt grid of position vectors to another number of patches, so that the vision tower
// can look at images of other sizes (`interpolate_pos_encoding`).

/// A square grid of position vectors.
struct PositionGrid {
  let side: Int
  let width: Int
  let values: [Float]  // [side, side, width]

  /// Bicubic resampling (a = −0.75, no antialiasing) as torch does it when given scale factors
  /// `(n + 0.1) / side`: the 0.1 enters the source coordinate, too.
  func resampled(rows: Int, columns: Int) -> [Float] {
    let vertical = taps(count: rows)
    let horizontal = taps(count: columns)
    var result: [Float] = []
    result.reserveCapacity(rows * columns * width)
    for rowTap in vertical {
      for columnTap in horizontal {
        for channel in 0..<width {
          var sum: Float = 0
          for (y, yWeight) in zip(rowTap.indices, rowTap.weights) {
            var line: Float = 0
            for (x, xWeight) in zip(columnTap.indices, columnTap.weights) {
              line += values[(y * side + x) * width + channel] * xWeight
            }
            sum += line * yWeight
          }
          result.append(sum)
        }
      }
    }
    return result
  }

  private struct Tap {
    var indices: [Int]
    var weights: [Float]
  }

  /// Four source positions and weights for each of `count` outputs.
  private func taps(count: Int) -> [Tap] {
    let scale = Float(1 / ((Double(count) + 0.1) / Double(side)))
    return (0..<count).map { output in
      let source = scale * (Float(output) + 0.5) - 0.5
      let base = source.rounded(.down)
      let t = source - base
      let indices = (-1...2).map { min(max(Int(base) + $0, 0), side - 1) }
      return Tap(indices: indices, weights: [far(t + 1), near(t), near(1 - t), far(2 - t)])
    }
  }

  private static let a: Float = -0.75

  private func near(_ x: Float) -> Float { ((Self.a + 2) * x - (Self.a + 3)) * x * x + 1 }

  private func far(_ x: Float) -> Float {
    ((Self.a * x - 5 * Self.a) * x + 8 * Self.a) * x - 4 * Self.a
  }
}
