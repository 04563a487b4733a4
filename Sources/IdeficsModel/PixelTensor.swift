// One preprocessed image as the vision tower takes it.

import Tensors

/// Normalised pixels `[3, height, width]`, float32.
public struct PixelTensor: Sendable {
  /// Rows of pixels.
  public let height: Int
  /// Pixels per row.
  public let width: Int
  /// `3 · height · width` values, channel after channel.
  public let values: [Float]

  /// A tensor, or `nil` when the number of values does not fit.
  public init?(height: Int, width: Int, values: [Float]) {
    guard height > 0, width > 0, height <= 1 << 16, width <= 1 << 16,
      values.count == 3 * height * width
    else { return nil }
    self.height = height
    self.width = width
    self.values = values
  }

  /// Lays each `patch × patch` square out as one row `[channel][y][x]` of `matrix`, squares in reading
  /// order; pixels right of or below the last whole square are dropped, as a strided convolution does.
  func copyPatches(of patch: Int, into matrix: inout Matrix) {
    let columns = width / patch
    matrix.storage.withMutableElements { out in
      var index = 0
      for square in 0..<(columns * (height / patch)) {
        let top = square / columns * patch
        let left = square % columns * patch
        for channel in 0..<3 {
          for y in 0..<patch {
            let start = (channel * height + top + y) * width + left
            for x in 0..<patch {
              out[index] = values[start + x]
              index += 1
            }
          }
        }
      }
    }
  }
}
