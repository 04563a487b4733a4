import Foundation
import TestSupport
import Testing

/// Pictures at the edge of what is one, through the built binary: each is answered, whatever its shape and mode.
@Suite struct DegenerateImageTests {
  private static let names = [
    "rgb_1x1.png", "rgb_1x9.png", "rgb_9x1.png", "rgb_2x2.png", "bilevel.png", "gray16.png",
    "la16.png", "palette_transparency.png", "rgba16_interlaced.png", "gray.jpg", "cmyk.jpg",
    "ycck.jpg", "orientation.jpg", "animated.gif", "animated.webp",
  ]

  @Test func areAnswered() throws {
    let folder = try TemporaryFolder()
    let model = folder("model.idfx")
    let made = try IdefixProcess.run(["convert", Fixture.url("models/micro").path, "-o", model])
    #expect(made.status == 0, "\(made.errors)")
    let images = Self.names.flatMap { ["--image", Fixture.url("codecs/\($0)").path] }
    let run = try IdefixProcess.run(
      ["run", model, "--max-tokens", "2", "--json", "Which?"] + images
    )
    #expect(run.status == 0, "\(run.errors)")
    #expect(try run.json()["images"] as? Int == Self.names.count)
  }
}
