// Pixels, resize and normalisation against what Pillow and the published processor give for the same
// files, bit for bit.

import Images
import TestSupport
import Testing

@Suite struct ReferencePixelsTests {
  @Test func everyFixtureIsListed() {
    #expect(ImageFixture.all.count == 44)
  }

  @Test(arguments: ImageFixture.all)
  func decodes(_ fixture: ImageFixture) throws {
    let bytes = try fixture.bytes
    #expect(ImageDecoder.format(of: bytes.span.bytes) == fixture.format)
    let image = try ImageDecoder.decode(bytes)
    #expect(image.width == fixture.expected.width)
    #expect(image.height == fixture.expected.height)
    #expect(Array(image.pixels.prefix(12)) == fixture.expected.firstPixels)
    #expect(fnv1a(image.pixels) == fixture.expected.rgb)
  }

  @Test(arguments: ImageFixture.all)
  func resizes(_ fixture: ImageFixture) throws {
    let image = try ImageDecoder.decode(fixture.bytes)
    let large = try BicubicResize.resize(image, width: 224, height: 224)
    let small = try BicubicResize.resize(image, width: 30, height: 30)
    #expect(fnv1a(large.pixels) == fixture.expected.resized)
    #expect(fnv1a(small.pixels) == fixture.expected.resized30)
  }

  @Test(arguments: ImageFixture.all)
  func normalises(_ fixture: ImageFixture) throws {
    let values = try ImageProcessor().process(ImageDecoder.decode(fixture.bytes))
    #expect(values.count == 3 * 224 * 224)
    let bytes = values.flatMap { value in
      withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
    }
    #expect(fnv1a(bytes) == fixture.expected.pixelValues)
  }

  /// `alpha_pairs.png` has every value (column) at every opacity (row).
  @Test func everyAlphaIsLaidOverWhite() throws {
    let image = try ImageDecoder.decode(Fixture.bytes("codecs/alpha_pairs.png"))
    for alpha in UInt8.min...UInt8.max {
      for value in UInt8.min...UInt8.max {
        let pixel = 3 * (256 * Int(alpha) + Int(value))
        let expected = PixelConversion.overWhite(value, alpha: alpha)
        guard image.pixels[pixel] == expected else {
          Issue.record("value \(value), alpha \(alpha)")
          return
        }
      }
      #expect(PixelConversion.overWhite(alpha, alpha: 0) == 255)
      #expect(PixelConversion.overWhite(alpha, alpha: 255) == alpha)
    }
  }
}
