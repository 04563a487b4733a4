import Foundation
import IdeficsModel
import TestSupport
import Testing
import WeightFiles

/// Images of other sizes than the vision tower was trained on.
@Suite struct InterpolationTests {
  static let models = ModelCase.all().filter { $0.name == "one_image" }

  @Test(arguments: models)
  func resampledPositionsMatchTheReference(_ modelCase: ModelCase) throws {
    let path = "cases/\(modelCase.model)/interpolate_pos_encoding.safetensors"
    let file = try Safetensors(path: modelCase.folder.appending(path: path).path)
    func values(_ name: String) throws -> [Float] {
      try file.floats(try #require(file.tensors.first { $0.name == name }))
    }
    let image = try #require(
      PixelTensor(height: 280, width: 308, values: try values("pixel_values"))
    )
    let harness = try modelCase.harness()
    let recorder = LayerRecorder()
    harness.model.recorder = recorder
    _ = try harness.encode(image)

    let embeddings = try #require(recorder.entries.first { $0.name == "vision.embeddings" })
    let output = try #require(recorder.entries.last { $0.name.hasPrefix("vision.layer") })
    #expect(relativeError(embeddings.values, try values("vision.embeddings")) < 1e-5)
    #expect(
      relativeError(output.values, try values("vision.out")) < ReferenceModelTests.layerBound
    )
  }

  @Test func anImageSmallerThanAPatchIsRefused() throws {
    let harness = try #require(Self.models.first).harness()
    let image = try #require(
      PixelTensor(height: 13, width: 13, values: [Float](repeating: 0, count: 507))
    )
    #expect(throws: ModelError.self) { _ = try harness.encode(image) }
  }
}
