// JPEG through libjpeg-turbo's defaults, as Pillow uses them: grey, YCbCr and RGB to RGB, CMYK and
// YCCK through stored CMYK. Refuses 12-bit, lossless and two-component files.

import CJPEG

enum JPEG {
  /// Decodes a JPEG file.
  static func decode(
    _ bytes: UnsafeRawBufferPointer,
    limits: ImageLimits
  ) throws(ImageError) -> RGBImage {
    var decoder: OpaquePointer?
    var info = idefix_jpeg_info()
    let start = bytes.bindMemory(to: UInt8.self).baseAddress
    let opened = idefix_jpeg_open(start, bytes.count, &decoder, &info)
    defer { idefix_jpeg_close(decoder) }
    let width = Int(info.width)
    let height = Int(info.height)
    if Int(opened) == IDEFIX_JPEG_SIDE_TOO_LONG {
      let limit = min(limits.side, IDEFIX_JPEG_MAX_SIDE)
      throw .sideTooLong(width: width, height: height, limit: limit)
    }
    try check(opened, scans: limits.scans)
    try limits.check(width: width, height: height, format: .jpeg)
    let scans = limits.scans(width: width, height: height)
    var (pixels, status) = [UInt8].written(count: width * height * Int(info.channels)) {
      idefix_jpeg_read(decoder, Int32(clamping: scans), Abandonment.probe, $0)
    }
    try check(status, scans: scans)
    if info.channels == 4 { PixelConversion.convert(invertedCMYK: &pixels) }
    return RGBImage(width: width, height: height, pixels: pixels)
  }

  private static func check(_ status: Int32, scans: Int) throws(ImageError) {
    switch Int(status) {
    case IDEFIX_JPEG_OK: return
    case IDEFIX_JPEG_TRUNCATED: throw .truncated(.jpeg)
    case IDEFIX_JPEG_UNSUPPORTED: throw .unsupported(.jpeg)
    case IDEFIX_JPEG_TOO_MANY_SCANS: throw .tooManyScans(limit: scans)
    case IDEFIX_JPEG_OUT_OF_MEMORY: throw .outOfMemory(.jpeg)
    case IDEFIX_JPEG_CANCELLED: throw .cancelled
    default: throw .corrupt(.jpeg)
    }
  }
}
