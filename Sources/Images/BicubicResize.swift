// Resizing that equals Pillow's BICUBIC filter on 8-bit samples bit for bit: 22-bit fixed-point
// weights, the horizontal pass first and rounded to 8 bits, then the vertical one (Pillow up to 12).
// Owns the filter and the pass; refuses nothing, since any picture can be resized to any size, but ends
// early in a cancelled task.

/// Pillow-compatible bicubic resampling.
public enum BicubicResize {
  /// Resizes a picture to exactly `width` x `height`, whatever its aspect ratio.
  ///
  /// An axis that keeps its length is left untouched (its weights are exactly 0 and 1).
  ///
  /// - Precondition: `width` and `height` are positive.
  /// - Throws: ``ImageError/cancelled`` if the task was cancelled.
  /// - Complexity: about `4 * max(1, image.width / width)` multiply-adds for each sample of
  ///   `[image.height, width, 3]`, then the same for the columns of `[height, width, 3]`.
  public static func resize(
    _ image: RGBImage,
    width: Int,
    height: Int
  ) throws(ImageError) -> RGBImage {
    precondition(width > 0 && height > 0, "an image has at least one pixel")
    if image.width == width, image.height == height { return image }
    return try transposedRowResize(transposedRowResize(image, to: width), to: height)
  }

  /// Resamples each row to `length` pixels and lays the result out as a column.
  ///
  /// Two such passes are a resize, and both read rows. Rows go in bands of 8, so that each output
  /// pixel of the band is a short run in memory.
  private static func transposedRowResize(
    _ image: RGBImage,
    to length: Int
  ) throws(ImageError) -> RGBImage {
    let weights = ResampleWeights(from: image.width, to: length)
    let height = image.height
    let vectors = (image.width + 7) / 8
    let lines = 8 * 3
    // Line 3 * row + channel of the band, zero-padded to whole vectors.
    var band = [SIMD8<Int16>](repeating: .zero, count: lines * vectors)
    var result = [UInt8](repeating: 0, count: length * height * 3)

    for top in stride(from: 0, to: height, by: 8) {
      try Abandonment.check()
      let rows = min(8, height - top)
      for row in 0..<rows {
        unpack(row: top + row, of: image, into: &band, at: row * 3 * vectors, vectors: vectors)
      }
      let source = band.span
      let taps = weights.vectors.span
      var target = result.mutableSpan
      for output in 0..<length {
        let window = weights.windows[output]
        precondition(window.first >= 0 && window.first + window.count <= vectors)
        precondition(2 * (window.weights + window.count) <= taps.count)
        let start = (output * height + top) * 3
        for line in 0..<rows * 3 {
          let first = line * vectors + window.first
          var high = SIMD4<Int32>.zero
          var low = SIMD4<Int32>.zero
          for index in 0..<window.count {
            // In bounds by the two preconditions above and `line < lines`.
            let samples = SIMD8<Int32>(truncatingIfNeeded: source[unchecked: first &+ index])
            let tap = 2 &* (window.weights &+ index)
            let upper = samples &* SIMD8<Int32>(truncatingIfNeeded: taps[unchecked: tap])
            let lower = samples &* SIMD8<Int32>(truncatingIfNeeded: taps[unchecked: tap &+ 1])
            high &+= upper.evenHalf &+ upper.oddHalf
            low &+= lower.evenHalf &+ lower.oddHalf
          }
          target[start + line] = ResampleWeights.round((high &<< 11) &+ low)
        }
      }
    }
    return RGBImage(width: height, height: length, pixels: result)
  }

  /// Spreads one row of RGB bytes over three lines of 16-bit samples.
  private static func unpack(
    row: Int,
    of image: RGBImage,
    into band: inout [SIMD8<Int16>],
    at first: Int,
    vectors: Int
  ) {
    let source = image.pixels.span
    var target = band.mutableSpan
    let start = row * image.width * 3
    let whole = image.width / 8
    precondition(start + image.width * 3 <= source.count && first + 3 * vectors <= target.count)
    for vector in 0..<vectors {
      let pixel = start + vector * 24
      let samples = vector < whole ? 8 : image.width - whole * 8
      for channel in 0..<3 {
        var line = SIMD8<Int16>.zero
        if samples == 8 {
          for lane in 0..<8 {
            line[lane] = Int16(source[unchecked: pixel &+ 3 &* lane &+ channel])
          }
        } else {
          for lane in 0..<samples { line[lane] = Int16(source[pixel + 3 * lane + channel]) }
        }
        target[first + channel * vectors + vector] = line
      }
    }
  }
}
