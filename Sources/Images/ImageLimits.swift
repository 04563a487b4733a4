// What an image may cost. The limits are applied to the file's length and to what its header
// declares, before anything in proportion to the picture is allocated.

/// Bounds on an encoded image and on what it decodes to.
public struct ImageLimits: Sendable, Hashable {
  /// Bytes of the encoded file.
  public var encodedBytes: Int
  /// Width times height.
  public var pixels: Int
  /// Width, and height.
  ///
  /// Bounds the memory of a resize, which keeps one strip for each row.
  public var side: Int
  /// Scans of a progressive JPEG, each of which costs a pass over the whole picture.
  public var scans: Int
  /// Scans of a progressive JPEG times its pixels, which bounds the time that those passes take.
  public var scannedPixels: Int

  /// Limits of one's own; what is not named has its default.
  public init(
    encodedBytes: Int = 64 << 20,
    pixels: Int = 64_000_000,
    side: Int = 65_535,
    scans: Int = 100,
    scannedPixels: Int = 1_500_000_000
  ) {
    self.encodedBytes = encodedBytes
    self.pixels = pixels
    self.side = side
    self.scans = scans
    self.scannedPixels = scannedPixels
  }

  /// 64 MiB encoded, 64 megapixels, sides of 65 535 pixels, 100 scans (23 of the largest picture).
  public static let `default` = ImageLimits()

  /// Scans that a picture of this size may have, at least one.
  func scans(width: Int, height: Int) -> Int {
    min(scans, max(1, scannedPixels / (width * height)))
  }

  /// Refuses a picture whose header declares more than these limits.
  func check(width: Int, height: Int, format: ImageFormat) throws(ImageError) {
    guard width > 0, height > 0 else { throw .corrupt(format) }
    guard max(width, height) <= min(side, Int(Int32.max)) else {
      throw .sideTooLong(width: width, height: height, limit: side)
    }
    guard width * height <= pixels else {
      throw .tooManyPixels(width: width, height: height, limit: pixels)
    }
  }
}
