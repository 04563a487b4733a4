// PNG of every colour type and depth, interlaced or not, as Pillow's modes come out: truecolour
// ignores tRNS, palettes and alpha are laid over white, 16-bit colour keeps its high bytes and
// 16-bit grey saturates at 255.

import CPNG

enum PNG {
  /// Decodes a PNG file.
  static func decode(
    _ bytes: UnsafeRawBufferPointer,
    limits: ImageLimits
  ) throws(ImageError) -> RGBImage {
    let (width, height) = try size(in: bytes)
    try limits.check(width: width, height: height, format: .png)

    var decoder: OpaquePointer?
    var info = idefix_png_info()
    let start = bytes.bindMemory(to: UInt8.self).baseAddress
    let side = UInt32(clamping: max(width, height))
    try check(idefix_png_open(start, bytes.count, side, &decoder, &info))
    defer { idefix_png_close(decoder) }
    guard width == Int(info.width), height == Int(info.height) else { throw .corrupt(.png) }

    let layout = Int(info.layout)
    let channels = layout == IDEFIX_PNG_RGBA ? 4 : layout == IDEFIX_PNG_GRAY16 ? 2 : 3
    var (pixels, status) = [UInt8].written(count: width * height * channels) {
      idefix_png_read(decoder, Abandonment.probe, $0)
    }
    try check(status)
    if layout == IDEFIX_PNG_RGBA { PixelConversion.compositeOverWhite(rgba: &pixels) }
    if layout == IDEFIX_PNG_GRAY16 { pixels = PixelConversion.rgb(gray16: pixels) }
    if info.transparent_gray >= 0 {
      PixelConversion.clear(gray: Int(info.transparent_gray), in: &pixels)
    }
    return RGBImage(width: width, height: height, pixels: pixels)
  }

  /// Width and height as IHDR declares them, which must be the first chunk.
  private static func size(
    in bytes: UnsafeRawBufferPointer
  ) throws(ImageError) -> (width: Int, height: Int) {
    guard bytes.count >= 24 else { throw .truncated(.png) }
    guard bytes[12..<16].elementsEqual("IHDR".utf8) else { throw .corrupt(.png) }
    func integer(at offset: Int) -> Int {
      bytes[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
    }
    return (integer(at: 16), integer(at: 20))
  }

  private static func check(_ status: Int32) throws(ImageError) {
    switch Int(status) {
    case IDEFIX_PNG_OK: return
    case IDEFIX_PNG_TRUNCATED: throw .truncated(.png)
    case IDEFIX_PNG_OUT_OF_MEMORY: throw .outOfMemory(.png)
    case IDEFIX_PNG_CANCELLED: throw .cancelled
    default: throw .corrupt(.png)
    }
  }
}
