import Idefix
import Images
import Testing

/// preprocessor_config.json: what is taken from it, and what is refused.
@Suite struct ImageProcessorSettingsTests {
  private func processor(_ json: String) throws(EngineError) -> ImageProcessor {
    try ImageProcessor(json: Array(json.utf8), imageSize: 8, path: "x.idfx")
  }

  @Test func takesWhatIsThere() throws {
    #expect(try processor("{}") == ImageProcessor(imageSize: 8))
    let own = try processor(
      #"{"image_mean": [0, 0.5, 1], "image_std": [1, 2, 3], "do_resize": true}"#
    )
    #expect(own.mean == SIMD3(0, 0.5, 1) && own.standardDeviation == SIMD3(1, 2, 3))
  }

  @Test(arguments: [
    ("", "cannot be read"),
    ("[]", "cannot be read"),
    (String(repeating: "[", count: 100_000), "cannot be read"),
    (#"{"image_mean": 0.5}"#, "cannot be read"),
    (#"{"image_mean": [0, 0]}"#, "three numbers as image_mean"),
    (#"{"image_mean": [0, 1e30, 0]}"#, "three numbers as image_mean"),
    (#"{"image_std": [1, 1, 1, 1]}"#, "three numbers as image_std"),
    (#"{"image_std": [1, 0, 1]}"#, "not positive"),
    (#"{"image_std": [1, -1, 1]}"#, "not positive"),
    (#"{"image_std": [1, 1, 1e-40]}"#, "not positive"),
  ])
  func refusesWhatNoPictureSurvives(json: String, says: String) {
    let error = #expect(throws: EngineError.self) { _ = try processor(json) }
    #expect(error?.description.contains(says) == true, "\(String(describing: error))")
  }
}
