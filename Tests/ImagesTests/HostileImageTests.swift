// Files that lie, end early or are damaged: a typed error or a picture within the limits, never a
// trap, and large claims refused from the header. Damage is seeded; the seed is the file's name.

import Images
import TestSupport
import Testing

@Suite struct HostileImageTests {
  /// Small enough that a damaged header cannot make a test slow.
  private let tight = ImageLimits(pixels: 300_000)

  /// Decodes `bytes`, or tells why not.
  private func outcome(
    _ bytes: [UInt8],
    limits: ImageLimits = .default
  ) -> Result<RGBImage, ImageError> {
    do throws(ImageError) {
      return .success(try ImageDecoder.decode(bytes, limits: limits))
    } catch {
      return .failure(error)
    }
  }

  /// Expects `bytes` to be refused with `error`, and as soon as the first `header` bytes are known.
  private func expectRefusal(_ bytes: [UInt8], _ error: ImageError, fromHeader header: Int) {
    #expect(outcome(bytes) == .failure(error))
    #expect(header < bytes.count && outcome(Array(bytes[..<header])) == .failure(error))
  }

  @Test(arguments: ImageFixture.all)
  func everyTruncationIsRefusedOrHarmless(_ fixture: ImageFixture) throws {
    let bytes = try fixture.bytes
    let whole = try ImageDecoder.decode(bytes)
    let step = max(1, bytes.count / 200)
    let lengths =
      Array(stride(from: 0, to: bytes.count, by: step)) + (bytes.count - 20..<bytes.count)
    for length in lengths {
      switch outcome(Array(bytes[..<length])) {
      case .success(let image):
        #expect(image == whole, "\(length) of \(bytes.count) bytes")
        #expect(length > bytes.count / 3, "\(length) of \(bytes.count) bytes")
      case .failure(.truncated(let format)), .failure(.corrupt(let format)):
        #expect(format == fixture.format)
      case .failure(let error):
        #expect(error == .unknownFormat && length < 12, "\(error) at \(length) bytes")
      }
    }
  }

  @Test(arguments: ImageFixture.all)
  func aCancelledTaskGivesUp(_ fixture: ImageFixture) async throws {
    let bytes = try fixture.bytes
    let picture = try ImageDecoder.decode(bytes)
    let task = Task {
      withUnsafeCurrentTask { $0?.cancel() }
      // The header is read all the same: it is the codecs that look between rows.
      #expect(throws: ImageError.cancelled) { try ImageDecoder.decode(bytes) }
      #expect(throws: ImageError.cancelled) {
        try BicubicResize.resize(picture, width: picture.width + 1, height: 30)
      }
    }
    await task.value
  }

  @Test(arguments: ImageFixture.all)
  func damageNeverTraps(_ fixture: ImageFixture) throws {
    let bytes = try fixture.bytes
    var generator = SeededGenerator(seed: fixture.name.utf8.reduce(0) { $0 &* 31 &+ UInt64($1) })
    for round in 0..<150 {
      var damaged = bytes
      for _ in 0...round % 4 {
        // Half of the damage goes to the first 64 bytes, where the header is.
        let reach = generator.next() & 1 == 0 ? bytes.count : min(64, bytes.count)
        let position = Int.random(in: 0..<reach, using: &generator)
        damaged[position] ^= UInt8.random(in: 1...255, using: &generator)
      }
      guard case .success(let image) = outcome(damaged, limits: tight) else { continue }
      #expect(image.width * image.height <= tight.pixels, "round \(round)")
    }
  }

  @Test func noiseIsNoImage() {
    var generator = SeededGenerator(seed: 1)
    let noise = (0..<4096).map { _ in UInt8.random(in: 0...255, using: &generator) }
    let magics: [[UInt8]] = [
      [], [0xff, 0xd8, 0xff], [0x89] + Array("PNG\r\n\u{1a}\n".utf8), Array("GIF89a".utf8),
      Array("RIFF\u{10}\0\0\0WEBP".utf8),
    ]
    for magic in magics {
      for length in [0, 1, 2, 30, 4096] {
        guard case .failure = outcome(magic + noise[..<length], limits: tight) else {
          Issue.record("\(magic) and \(length) bytes of noise decoded")
          continue
        }
      }
    }
  }

  @Test func bombsAreRefusedFromTheHeader() throws {
    var png = try Fixture.bytes("codecs/rgb_7x5.png")
    png.replaceSubrange(16..<24, with: [0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50])
    expectRefusal(
      png,
      .tooManyPixels(width: 50_000, height: 50_000, limit: 64_000_000),
      fromHeader: 24
    )
    png.replaceSubrange(16..<24, with: [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 1])
    expectRefusal(
      png,
      .sideTooLong(width: 0x7fff_ffff, height: 1, limit: 65_535),
      fromHeader: 24
    )
    png.replaceSubrange(16..<24, with: [0, 0, 0, 0, 0, 0, 0, 1])
    expectRefusal(png, .corrupt(.png), fromHeader: 24)

    for name in ["gray.jpg", "progressive.jpg", "cmyk.jpg"] {
      var jpeg = try Fixture.bytes("codecs/\(name)")
      let frame = try #require(
        jpeg.indices.dropLast().first {
          jpeg[$0] == 0xff && (jpeg[$0 + 1] == 0xc0 || jpeg[$0 + 1] == 0xc2)
        }
      )
      let scan = try #require(
        jpeg.indices.dropLast().first { jpeg[$0] == 0xff && jpeg[$0 + 1] == 0xda }
      )
      let header = scan + 2 + Int(jpeg[scan + 2]) << 8 + Int(jpeg[scan + 3])
      jpeg.replaceSubrange(frame + 5..<frame + 9, with: [0xff, 0xdc, 0xff, 0xdc])
      expectRefusal(
        jpeg,
        .tooManyPixels(width: 65_500, height: 65_500, limit: 64_000_000),
        fromHeader: header
      )
      jpeg.replaceSubrange(frame + 5..<frame + 9, with: [0xff, 0xff, 0xff, 0xff])
      expectRefusal(
        jpeg,
        .sideTooLong(width: 65_535, height: 65_535, limit: 65_500),
        fromHeader: header
      )
    }

    var gif = try Fixture.bytes("codecs/palette.gif")
    gif.replaceSubrange(6..<10, with: [0xff, 0xff, 0xff, 0xff])
    // The screen, its colours, the picture's own 10 bytes and the first of its data.
    let colors = 13 + 3 << (Int(gif[10] & 7) + 1)
    let picture = try #require(gif[colors...].firstIndex(of: 0x2c))
    expectRefusal(
      gif,
      .tooManyPixels(width: 65_535, height: 65_535, limit: 64_000_000),
      fromHeader: picture + 11
    )

    var webp = try Fixture.bytes("codecs/animated.webp")
    webp.replaceSubrange(24..<30, with: [0xff, 0xff, 0, 0x5f, 0xea, 0])
    expectRefusal(
      webp,
      .sideTooLong(width: 65_536, height: 60_000, limit: 65_535),
      fromHeader: 38
    )
  }

  @Test func limitsAreTheCallers() throws {
    let bytes = try Fixture.bytes("codecs/rgb_7x5.png")
    #expect(
      outcome(bytes, limits: ImageLimits(encodedBytes: bytes.count - 1))
        == .failure(.tooManyBytes(count: bytes.count, limit: bytes.count - 1))
    )
    #expect(
      outcome(bytes, limits: ImageLimits(pixels: 34))
        == .failure(.tooManyPixels(width: 7, height: 5, limit: 34))
    )
    #expect(
      outcome(bytes, limits: ImageLimits(side: 6))
        == .failure(.sideTooLong(width: 7, height: 5, limit: 6))
    )
    let exact = ImageLimits(encodedBytes: bytes.count, pixels: 35, side: 7)
    #expect(try outcome(bytes, limits: exact).get().width == 7)
  }

  @Test func scansAreCounted() throws {
    let bytes = try Fixture.bytes("codecs/progressive_7x5.jpg")
    let lastScan = try #require(
      bytes.indices.dropLast().last { bytes[$0] == 0xff && bytes[$0 + 1] == 0xda }
    )
    let scan = bytes[lastScan..<bytes.count - 2]
    let repeated = (0..<10_000).flatMap { _ in scan }
    let file = bytes.dropLast(2) + repeated + bytes.suffix(2)
    expectRefusal(
      Array(file),
      .tooManyScans(limit: 100),
      fromHeader: lastScan + 150 * scan.count
    )
    let whole = outcome(bytes)
    #expect(outcome(bytes, limits: ImageLimits(scans: 5)) == .failure(.tooManyScans(limit: 5)))
    #expect(outcome(bytes, limits: ImageLimits(scans: 20)) == whole)
    // The picture has 35 pixels.
    #expect(
      outcome(bytes, limits: ImageLimits(scannedPixels: 35 * 5 + 34))
        == .failure(.tooManyScans(limit: 5))
    )
    #expect(outcome(bytes, limits: ImageLimits(scannedPixels: 35 * 20)) == whole)
  }

  @Test func laterGIFFramesCostNothing() throws {
    let bytes = try Fixture.bytes("codecs/animated.gif")
    let first = try ImageDecoder.decode(bytes)
    // A graphic control block begins each frame.
    let controls = bytes.indices.dropLast(2).filter { bytes[$0..<$0 + 3] == [0x21, 0xf9, 4] }
    #expect(controls.count == 3)
    let frame = bytes[try #require(controls.last)..<bytes.count - 1]
    let file = Array(bytes.dropLast() + (0..<100_000).flatMap { _ in frame } + bytes.suffix(1))
    #expect(try ImageDecoder.decode(file) == first)
    #expect(try ImageDecoder.decode(Array(file[..<controls[1]])) == first)
  }

  @Test func laterWebPFramesCostNothing() throws {
    let bytes = try Fixture.bytes("codecs/animated.webp")
    let first = try ImageDecoder.decode(bytes)
    let frames = bytes.indices.dropLast(3).filter { bytes[$0..<$0 + 4].elementsEqual("ANMF".utf8) }
    #expect(frames.count == 2)
    let frame = bytes[try #require(frames.last)...]
    var file = bytes + (0..<100_000).flatMap { _ in frame }
    withUnsafeBytes(of: UInt32(file.count - 8).littleEndian) {
      file.replaceSubrange(4..<8, with: $0)
    }
    #expect(try ImageDecoder.decode(file) == first)
    #expect(try ImageDecoder.decode(Array(file[..<frames[1]])) == first)
  }

  @Test func unsupportedKindsAreNamed() throws {
    var bytes = try Fixture.bytes("codecs/gray.jpg")
    let frame = try #require(
      bytes.indices.dropLast().first { bytes[$0] == 0xff && bytes[$0 + 1] == 0xc0 }
    )
    bytes[frame + 4] = 12
    #expect(outcome(bytes) == .failure(.unsupported(.jpeg)))
  }

  @Test func messagesAreOneSentenceOfConstants() {
    let errors: [ImageError] =
      [
        .unknownFormat, .tooManyBytes(count: 2, limit: 1), .tooManyScans(limit: 1),
        .sideTooLong(width: 2, height: 2, limit: 1), .tooManyPixels(width: 2, height: 2, limit: 1),
      ]
      + ImageFormat.allCases.flatMap { format -> [ImageError] in
        [.truncated(format), .corrupt(format), .unsupported(format), .outOfMemory(format)]
      }
    for error in errors {
      #expect(error.description.hasSuffix("."))
      #expect(error.description.filter { $0 == "." }.count == 1)
      #expect(!error.description.contains("/") && !error.description.contains("0x"))
    }
    #expect(Set(errors.map(\.description)).count == errors.count)
  }
}
