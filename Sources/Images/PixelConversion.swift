// From the codecs' pixel layouts to RGB, in the integer arithmetic of Pillow. Owns the formulas; the
// conversions that shrink a pixel run in place, so that a picture is never held twice.

/// Conversions between pixel layouts.
package enum PixelConversion {
  /// An 8-bit sample of opacity `alpha` laid over opaque white.
  ///
  /// Source: Pillow's `alpha_composite` with an opaque destination.
  package static func overWhite(_ sample: UInt8, alpha: UInt8) -> UInt8 {
    let alpha = UInt32(alpha)
    let blended = (UInt32(sample) * alpha + 255 * (255 - alpha)) * 128 + (128 << 7)
    return UInt8((((blended >> 8) + blended) >> 8) >> 7)
  }

  /// Lays RGBA pixels over white, in place; `pixels` shrinks by a quarter.
  static func compositeOverWhite(rgba pixels: inout [UInt8]) {
    packInPlace(&pixels) { red, green, blue, alpha in
      if alpha == 255 { return (red, green, blue) }
      return (
        overWhite(red, alpha: alpha), overWhite(green, alpha: alpha), overWhite(blue, alpha: alpha)
      )
    }
  }

  /// Converts CMYK pixels as JPEG files store them (255 is no ink), in place; `pixels` shrinks by a
  /// quarter.
  ///
  /// Source: Pillow's `CMYK;I` unpacking followed by its CMYK to RGB conversion.
  static func convert(invertedCMYK pixels: inout [UInt8]) {
    func mix(_ stored: UInt8, _ light: UInt8) -> UInt8 {
      let product = UInt32(255 - stored) * UInt32(light) + 128
      return light - UInt8(((product >> 8) + product) >> 8)
    }
    packInPlace(&pixels) { cyan, magenta, yellow, black in
      (mix(cyan, black), mix(magenta, black), mix(yellow, black))
    }
  }

  /// Grey samples of 16 bits, most significant byte first, to RGB.
  ///
  /// Values above 255 become 255, as Pillow converts its mode `I;16`.
  static func rgb(gray16 samples: [UInt8]) -> [UInt8] {
    var pixels: [UInt8] = []
    pixels.reserveCapacity(samples.count / 2 * 3)
    for start in stride(from: 0, to: samples.count, by: 2) {
      let value = samples[start] == 0 ? samples[start + 1] : 255
      pixels.append(value)
      pixels.append(value)
      pixels.append(value)
    }
    return pixels
  }

  /// Makes every pixel of the grey picture `pixels` white that has the transparent value `key`.
  ///
  /// Pillow compares the low byte of the key as stored with the sample stretched to 8 bits; so does
  /// this, although it misses the keys of pictures of 2 and 4 bits other than 0.
  static func clear(gray key: Int, in pixels: inout [UInt8]) {
    let key = UInt8(truncatingIfNeeded: key)
    for index in pixels.indices where pixels[index] == key { pixels[index] = 255 }
  }

  /// Replaces each 4 bytes by 3, front to back.
  private static func packInPlace(
    _ pixels: inout [UInt8],
    _ convert: (UInt8, UInt8, UInt8, UInt8) -> (UInt8, UInt8, UInt8)
  ) {
    let count = pixels.count / 4
    for index in 0..<count {
      let source = 4 * index
      let color = convert(
        pixels[source],
        pixels[source + 1],
        pixels[source + 2],
        pixels[source + 3]
      )
      let target = 3 * index
      pixels[target] = color.0
      pixels[target + 1] = color.1
      pixels[target + 2] = color.2
    }
    pixels.removeLast(pixels.count - 3 * count)
  }
}

extension [UInt8] {
  /// An array of `count` bytes written by a codec, or an empty one when its `status` is not 0.
  static func written(
    count: Int,
    by codec: (UnsafeMutablePointer<UInt8>) -> Int32
  ) -> (
    pixels: [UInt8], status: Int32
  ) {
    var status: Int32 = 0
    let pixels = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
      guard let start = buffer.baseAddress else { return }
      status = codec(start)
      initialized = status == 0 ? count : 0
    }
    return (pixels, status)
  }
}
