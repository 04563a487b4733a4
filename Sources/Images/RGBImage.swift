// Decoded pixels, the only picture type above the codecs. Owns nothing but the bytes; alpha, palettes
// and colour models end in the decoder.

/// A picture of 8-bit red, green and blue samples.
public struct RGBImage: Sendable, Hashable {
  /// Pixels in a row; at least 1.
  public let width: Int
  /// Rows; at least 1.
  public let height: Int
  /// `[height, width, 3]`, row-major, without gaps.
  public let pixels: [UInt8]

  /// A picture from its samples.
  ///
  /// - Precondition: `width` and `height` are positive and `pixels` holds exactly their product
  ///   times 3 bytes.
  public init(width: Int, height: Int, pixels: [UInt8]) {
    precondition(width > 0 && height > 0, "an image has at least one pixel")
    precondition(pixels.count == width * height * 3, "an image has three bytes a pixel")
    self.width = width
    self.height = height
    self.pixels = pixels
  }
}
