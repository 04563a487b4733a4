// Every way in which an image can be refused. Messages are composed here from constants and from
// sizes the file declares; no text, address or path of a codec library enters them.

/// The file formats that can be decoded.
public enum ImageFormat: String, Sendable, Hashable, CaseIterable {
  /// ITU T.81, baseline and progressive.
  case jpeg = "JPEG"
  /// Portable Network Graphics.
  case png = "PNG"
  /// WebP, lossy and lossless.
  case webp = "WebP"
  /// GIF87a and GIF89a.
  case gif = "GIF"
}

/// Why an image was refused.
public enum ImageError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The bytes begin like none of the known formats.
  case unknownFormat
  /// The encoded image is longer than the limit.
  case tooManyBytes(count: Int, limit: Int)
  /// The header declares a width or height beyond the limit.
  case sideTooLong(width: Int, height: Int, limit: Int)
  /// The header declares more pixels than the limit.
  case tooManyPixels(width: Int, height: Int, limit: Int)
  /// A JPEG of more scans than the limit.
  case tooManyScans(limit: Int)
  /// The bytes end before the picture does.
  case truncated(ImageFormat)
  /// The bytes contradict the format.
  case corrupt(ImageFormat)
  /// A valid file of a kind that is not decoded, such as a 12-bit JPEG.
  case unsupported(ImageFormat)
  /// The codec could not allocate what the picture needs.
  case outOfMemory(ImageFormat)
  /// The task that decodes was cancelled.
  case cancelled

  /// One sentence for the user.
  public var description: String {
    switch self {
    case .unknownFormat:
      "The image is not a JPEG, PNG, WebP or GIF file."
    case .tooManyBytes(let count, let limit):
      "The encoded image has \(count) bytes; at most \(limit) are accepted."
    case .sideTooLong(let width, let height, let limit):
      "The image is \(width) x \(height) pixels; a side may have at most \(limit)."
    case .tooManyPixels(let width, let height, let limit):
      "The image is \(width) x \(height) pixels; at most \(limit) pixels are accepted."
    case .tooManyScans(let limit):
      "The JPEG image has more than \(limit) scans."
    case .truncated(let format):
      "The \(format.rawValue) image ends too early."
    case .corrupt(let format):
      "The \(format.rawValue) image is damaged."
    case .unsupported(let format):
      "The \(format.rawValue) image is of a kind that is not supported."
    case .outOfMemory(let format):
      "There is not enough memory to decode the \(format.rawValue) image."
    case .cancelled:
      "The image is not wanted any more."
    }
  }
}
