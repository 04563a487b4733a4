// Encoded bytes to RGB pixels: recognises the format by content, applies the limits and hands over to
// the codec. Pixels equal those of Pillow 11 followed by the IDEFICS processor's conversion: RGB as it
// is, every other mode laid over white. Orientation tags and colour profiles are not applied, and of
// an animation the first frame counts.

/// Decodes JPEG, PNG, WebP and GIF images.
public enum ImageDecoder {
  /// The format that `bytes` begin like, or `nil`.
  ///
  /// Says nothing about the rest of the file.
  public static func format(of bytes: RawSpan) -> ImageFormat? {
    func matches(_ magic: StaticString, at offset: Int) -> Bool {
      guard bytes.byteCount >= offset + magic.utf8CodeUnitCount else { return false }
      return magic.withUTF8Buffer { magic in
        magic.indices.allSatisfy {
          bytes.unsafeLoad(fromByteOffset: offset + $0, as: UInt8.self) == magic[$0]
        }
      }
    }
    if matches("GIF87a", at: 0) || matches("GIF89a", at: 0) { return .gif }
    if matches("RIFF", at: 0), matches("WEBP", at: 8) { return .webp }
    if matches("PNG\r\n\u{1a}\n", at: 1), bytes.unsafeLoad(as: UInt8.self) == 0x89 { return .png }
    guard bytes.byteCount >= 3 else { return nil }
    let start = (0..<3).map { bytes.unsafeLoad(fromByteOffset: $0, as: UInt8.self) }
    return start == [0xff, 0xd8, 0xff] ? .jpeg : nil
  }

  /// Decodes the (first) picture of an image file.
  ///
  /// - Parameters:
  ///   - bytes: the whole file.
  ///   - limits: what the file and the picture may cost.
  /// - Returns: the picture without alpha.
  /// - Throws: `ImageError`, for bytes that are no such file or exceed the limits, and in a cancelled task.
  public static func decode(
    _ bytes: RawSpan,
    limits: ImageLimits = .default
  ) throws(ImageError) -> RGBImage {
    guard bytes.byteCount <= limits.encodedBytes else {
      throw .tooManyBytes(count: bytes.byteCount, limit: limits.encodedBytes)
    }
    guard let format = format(of: bytes) else { throw .unknownFormat }
    return try bytes.withUnsafeBytes { (buffer) throws(ImageError) in
      switch format {
      case .jpeg: try JPEG.decode(buffer, limits: limits)
      case .png: try PNG.decode(buffer, limits: limits)
      case .webp: try WebP.decode(buffer, limits: limits)
      case .gif: try GIF.decode(buffer, limits: limits)
      }
    }
  }

  /// Decodes the (first) picture of an image file held in an array.
  ///
  /// - Parameters:
  ///   - bytes: the whole file.
  ///   - limits: what the file and the picture may cost.
  /// - Returns: the picture without alpha.
  /// - Throws: `ImageError`, for bytes that are no such file or exceed the limits, and in a cancelled task.
  public static func decode(
    _ bytes: [UInt8],
    limits: ImageLimits = .default
  ) throws(ImageError) -> RGBImage {
    try decode(bytes.span.bytes, limits: limits)
  }
}
