// A picture as the vision tower takes it: resized to a square, rescaled and normalised with the
// arithmetic of the published processor. Which size, mean and standard deviation is the caller's
// configuration.

/// Turns pictures into normalised pixel values.
public struct ImageProcessor: Sendable, Hashable {
  /// Side of the square that pictures are resized to, in pixels.
  public let imageSize: Int
  /// What is subtracted from each channel, in units of full scale.
  public let mean: SIMD3<Float>
  /// What each channel is divided by, in units of full scale.
  public let standardDeviation: SIMD3<Float>
  /// `[3, 256]`: the pixel value of each sample.
  private let values: [Float]

  /// The published checkpoints' image size, 224.
  public static let defaultImageSize = 224
  /// The published checkpoints' mean.
  public static let defaultMean = SIMD3<Float>(0.48145466, 0.4578275, 0.40821073)
  /// The published checkpoints' standard deviation.
  public static let defaultStandardDeviation = SIMD3<Float>(0.26862954, 0.26130258, 0.27577711)

  /// A processor; without arguments, that of the published checkpoints.
  ///
  /// - Precondition: `imageSize` is positive.
  public init(
    imageSize: Int = defaultImageSize,
    mean: SIMD3<Float> = defaultMean,
    standardDeviation: SIMD3<Float> = defaultStandardDeviation
  ) {
    precondition(imageSize > 0, "an image has at least one pixel")
    self.imageSize = imageSize
    self.mean = mean
    self.standardDeviation = standardDeviation
    values = (0..<3).flatMap { channel in
      (0..<256).map { sample in
        let rescaled = Float(Double(sample) * (1.0 / 255.0))
        return (rescaled - mean[channel]) / standardDeviation[channel]
      }
    }
  }

  /// Resizes and normalises a picture.
  ///
  /// - Returns: `[3, imageSize, imageSize]`, row-major.
  /// - Throws: ``ImageError/cancelled`` if the task was cancelled.
  /// - Accuracy: equal to the published processor's float32 values, bit for bit.
  public func process(_ image: RGBImage) throws(ImageError) -> [Float] {
    let resized = try BicubicResize.resize(image, width: imageSize, height: imageSize)
    let samples = resized.pixels.span
    return [Float](unsafeUninitializedCapacity: samples.count) { buffer, initialized in
      for channel in 0..<3 {
        for start in stride(from: channel, to: samples.count, by: 3) {
          let value = values[channel << 8 | Int(samples[start])]
          buffer.initializeElement(at: initialized, to: value)
          initialized += 1
        }
      }
    }
  }
}
