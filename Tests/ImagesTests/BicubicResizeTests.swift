// The resize against a plain statement of the filter, over awkward sizes, and its invariants.

import Foundation
import Images
import TestSupport
import Testing

@Suite struct BicubicResizeTests {
  /// Pillow's filter along one axis of `[outer, length, inner]` samples, in 64-bit integers.
  private func resample(
    _ samples: [UInt8],
    outer: Int,
    length: Int,
    inner: Int,
    to size: Int
  ) -> [UInt8] {
    func cubic(_ distance: Double) -> Double {
      let x = abs(distance)
      if x < 1 { return (1.5 * x - 2.5) * x * x + 1 }
      return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0
    }
    if size == length { return samples }
    let scale = Double(length) / Double(size)
    let filter = max(scale, 1)
    var result = [UInt8](repeating: 0, count: outer * size * inner)
    for index in 0..<size {
      let center = (Double(index) + 0.5) * scale
      let low = max(Int(center - 2 * filter + 0.5), 0)
      let high = min(Int(center + 2 * filter + 0.5), length)
      let raw = (low..<high).map { cubic((Double($0) - center + 0.5) * (1 / filter)) }
      let sum = raw.reduce(0, +)
      let weights = raw.map {
        Int64(($0 * (1 / sum) * 4_194_304).rounded(.toNearestOrAwayFromZero))
      }
      for row in 0..<outer {
        for lane in 0..<inner {
          var total: Int64 = 1 << 21
          for (offset, weight) in weights.enumerated() {
            total += Int64(samples[(row * length + low + offset) * inner + lane]) * weight
          }
          result[(row * size + index) * inner + lane] = UInt8(clamping: total >> 22)
        }
      }
    }
    return result
  }

  @Test(
    arguments: [
      (1, 1, 30, 30), (1, 17, 5, 4), (17, 1, 4, 5), (3, 3, 224, 1), (7, 8, 9, 8), (8, 9, 8, 7),
      (9, 7, 1, 1), (31, 33, 16, 30), (100, 60, 30, 30), (257, 9, 224, 9), (20, 300, 20, 30),
      (640, 3, 2, 3), (65_535, 1, 3, 2), (1, 65_535, 1, 30),
    ]
  )
  func equalsThePlainFilter(width: Int, height: Int, newWidth: Int, newHeight: Int) throws {
    var generator = SeededGenerator(seed: UInt64(width << 20 ^ height << 8 ^ newWidth))
    // Mostly extremes, so that sums overshoot and are clamped.
    let pixels = (0..<width * height * 3).map { _ -> UInt8 in
      let bits = generator.next()
      return bits & 3 == 0 ? UInt8(truncatingIfNeeded: bits >> 8) : bits & 4 == 0 ? 0 : 255
    }
    let image = RGBImage(width: width, height: height, pixels: pixels)
    let horizontal = resample(pixels, outer: height, length: width, inner: 3, to: newWidth)
    let expected = resample(
      horizontal,
      outer: 1,
      length: height,
      inner: newWidth * 3,
      to: newHeight
    )
    let resized = try BicubicResize.resize(image, width: newWidth, height: newHeight)
    #expect(resized.width == newWidth && resized.height == newHeight)
    #expect(resized.pixels == expected)
  }

  @Test(arguments: [(1, 1), (1, 50), (50, 1), (9, 3), (300, 200)])
  func keepsOneColor(width: Int, height: Int) throws {
    let color: [UInt8] = [3, 128, 254]
    let pixels = (0..<width * height).flatMap { _ in color }
    let image = RGBImage(width: width, height: height, pixels: pixels)
    let resized = try BicubicResize.resize(image, width: 30, height: 30)
    #expect(resized.pixels == (0..<900).flatMap { _ in color })
  }

  @Test func processorTakesItsOwnParameters() throws {
    let image = RGBImage(width: 2, height: 1, pixels: [0, 51, 102, 0, 51, 102])
    let processor = ImageProcessor(
      imageSize: 2,
      mean: [0.5, 0, 0.4],
      standardDeviation: [0.5, 1, 0.25]
    )
    let values = try processor.process(image)
    let third = (Float(0.4) - 0.4) / 0.25
    #expect(values == [-1, -1, -1, -1, 0.2, 0.2, 0.2, 0.2, third, third, third, third])
  }
}
