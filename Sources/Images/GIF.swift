// The first frame of a GIF: on the logical screen, transparent and uncovered pixels as Pillow shows
// them (a transparent index is white; without one, uncovered pixels have colour 0).

import CGIF

enum GIF {
  /// Decodes the first frame of a GIF file.
  static func decode(
    _ bytes: UnsafeRawBufferPointer,
    limits: ImageLimits
  ) throws(ImageError) -> RGBImage {
    var decoder: OpaquePointer?
    var info = idefix_gif_info()
    let start = bytes.bindMemory(to: UInt8.self).baseAddress
    try check(idefix_gif_open(start, bytes.count, &decoder, &info))
    defer { idefix_gif_close(decoder) }

    let width = Int(info.width)
    let height = Int(info.height)
    try limits.check(width: width, height: height, format: .gif)
    let background = UInt8(clamping: info.transparent)
    var indices = [UInt8](repeating: background, count: width * height)
    try check(
      indices.withUnsafeMutableBufferPointer {
        idefix_gif_read(decoder, Abandonment.probe, $0.baseAddress)
      }
    )

    var palette = withUnsafeBytes(of: info.palette) { [UInt8]($0) }
    if let transparent = UInt8(exactly: info.transparent) {
      let entry = 3 * Int(transparent)
      palette.replaceSubrange(entry..<entry + 3, with: [255, 255, 255])
    }
    let pixels = [UInt8](unsafeUninitializedCapacity: 3 * indices.count) { buffer, initialized in
      for index in indices {
        let entry = 3 * Int(index)
        for channel in 0..<3 {
          buffer.initializeElement(at: initialized + channel, to: palette[entry + channel])
        }
        initialized += 3
      }
    }
    return RGBImage(width: width, height: height, pixels: pixels)
  }

  private static func check(_ status: Int32) throws(ImageError) {
    switch Int(status) {
    case IDEFIX_GIF_OK: return
    case IDEFIX_GIF_TRUNCATED: throw .truncated(.gif)
    case IDEFIX_GIF_OUT_OF_MEMORY: throw .outOfMemory(.gif)
    case IDEFIX_GIF_CANCELLED: throw .cancelled
    default: throw .corrupt(.gif)
    }
  }
}
