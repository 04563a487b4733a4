// WebP, lossy and lossless, with or without alpha: a still picture, or the first frame of an animation
// on its canvas. What that frame does not cover is transparent, hence white, or black when the file
// declares no alpha, as Pillow shows it.

import CWebP

enum WebP {
  /// Decodes the first frame of a WebP file.
  static func decode(
    _ bytes: UnsafeRawBufferPointer,
    limits: ImageLimits
  ) throws(ImageError) -> RGBImage {
    let start = bytes.bindMemory(to: UInt8.self).baseAddress
    var features = WebPBitstreamFeatures()
    try check(WebPGetFeatures(start, bytes.count, &features))
    let width = Int(features.width)
    let height = Int(features.height)
    try limits.check(width: width, height: height, format: .webp)

    var file = WebPData(bytes: start, size: endOfFirstFrame(in: bytes))
    var state = WEBP_DEMUX_PARSE_ERROR
    guard let demuxer = WebPDemuxPartial(&file, &state) else {
      throw state == WEBP_DEMUX_PARSE_ERROR ? .corrupt(.webp) : .truncated(.webp)
    }
    defer { WebPDemuxDelete(demuxer) }
    var frame = WebPIterator()
    guard WebPDemuxGetFrame(demuxer, 1, &frame) != 0, frame.complete != 0 else {
      throw .truncated(.webp)
    }
    defer { WebPDemuxReleaseIterator(&frame) }

    let hasAlpha = features.has_alpha != 0
    let channels = hasAlpha ? 4 : 3
    var canvas = [UInt8](repeating: 0, count: width * height * channels)
    try draw(frame, on: &canvas, width: width, height: height, hasAlpha: hasAlpha)
    if hasAlpha { PixelConversion.compositeOverWhite(rgba: &canvas) }
    return RGBImage(width: width, height: height, pixels: canvas)
  }

  /// Where the first frame of an animation ends, or the file where it is none.
  ///
  /// The demuxer would list every frame, of which there may be many.
  private static func endOfFirstFrame(in bytes: UnsafeRawBufferPointer) -> Int {
    var offset = 12
    while bytes.count - offset >= 8 {
      let size = bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self).littleEndian
      let end = offset + 8 + Int(size) + Int(size % 2)
      guard end < bytes.count else { break }
      if bytes[offset..<offset + 4].elementsEqual("ANMF".utf8) { return end }
      offset = end
    }
    return bytes.count
  }

  /// Decodes one frame into its place on the canvas.
  private static func draw(
    _ frame: WebPIterator,
    on canvas: inout [UInt8],
    width: Int,
    height: Int,
    hasAlpha: Bool
  ) throws(ImageError) {
    let left = Int(frame.x_offset)
    let top = Int(frame.y_offset)
    guard left >= 0, top >= 0, frame.width > 0, frame.height > 0,
      left + Int(frame.width) <= width, top + Int(frame.height) <= height
    else { throw .corrupt(.webp) }

    var config = WebPDecoderConfig()
    guard WebPInitDecoderConfig(&config) != 0 else { throw .unsupported(.webp) }
    try check(WebPGetFeatures(frame.fragment.bytes, frame.fragment.size, &config.input))
    guard config.input.width == frame.width, config.input.height == frame.height else {
      throw .corrupt(.webp)
    }
    let channels = hasAlpha ? 4 : 3
    let offset = (top * width + left) * channels
    let status = try canvas.withUnsafeMutableBufferPointer { (canvas) throws(ImageError) in
      config.output.colorspace = hasAlpha ? MODE_RGBA : MODE_RGB
      config.output.is_external_memory = 1
      config.output.u.RGBA.rgba = canvas.baseAddress.map { $0 + offset }
      config.output.u.RGBA.stride = Int32(width * channels)
      config.output.u.RGBA.size = canvas.count - offset
      return try decode(frame.fragment, &config)
    }
    WebPFreeDecBuffer(&config.output)
    try check(status)
  }

  /// Decodes a lossy frame in pieces of its data, so that it can be given up between them.
  ///
  /// A lossless one is decoded whole: with each piece its transforms would be read again from the start.
  private static func decode(
    _ frame: WebPData,
    _ config: UnsafeMutablePointer<WebPDecoderConfig>
  ) throws(ImageError) -> VP8StatusCode {
    guard config.pointee.input.format == lossy else {
      try Abandonment.check()
      return WebPDecode(frame.bytes, frame.size, config)
    }
    guard let decoder = WebPIDecode(nil, 0, config) else { return VP8_STATUS_OUT_OF_MEMORY }
    defer { WebPIDelete(decoder) }
    for end in stride(from: pieceBytes, to: frame.size + pieceBytes, by: pieceBytes) {
      try Abandonment.check()
      let status = WebPIUpdate(decoder, frame.bytes, min(end, frame.size))
      guard status == VP8_STATUS_SUSPENDED else { return status }
    }
    return VP8_STATUS_NOT_ENOUGH_DATA
  }

  /// `format` of a lossy frame's features.
  private static let lossy: Int32 = 1
  /// Data decoded between two looks at whether anybody still waits.
  private static let pieceBytes = 4096

  private static func check(_ status: VP8StatusCode) throws(ImageError) {
    switch status {
    case VP8_STATUS_OK: return
    case VP8_STATUS_NOT_ENOUGH_DATA: throw .truncated(.webp)
    case VP8_STATUS_OUT_OF_MEMORY: throw .outOfMemory(.webp)
    case VP8_STATUS_UNSUPPORTED_FEATURE: throw .unsupported(.webp)
    default: throw .corrupt(.webp)
    }
  }
}
