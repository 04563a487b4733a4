// preprocessor_config.json: what pictures are normalised by. Refuses values that no picture survives.

import Foundation
import Images

extension ImageProcessor {
  private struct Settings: Decodable {
    var mean: [Float]?
    var deviation: [Float]?

    private enum CodingKeys: String, CodingKey {
      case mean = "image_mean"
      case deviation = "image_std"
    }
  }

  /// The processor that a model's preprocessor_config.json describes; what it does not say is as in the published
  /// checkpoints.
  ///
  /// - Parameters:
  ///   - json: the file's bytes; `nil` where there is no such file.
  ///   - imageSize: side of the model's pictures.
  ///   - path: the model, for errors.
  /// - Throws: `EngineError.invalidModel`.
  package init(json: [UInt8]?, imageSize: Int, path: String) throws(EngineError) {
    func bad(_ reason: String) -> EngineError {
      .invalidModel(path: path, reason: "its preprocessor_config.json " + reason)
    }
    guard let json else {
      self.init(imageSize: imageSize)
      return
    }
    guard let settings = try? JSONDecoder().decode(Settings.self, from: Data(json)) else {
      throw bad("cannot be read")
    }
    func channels(_ values: [Float]?, _ name: String) throws(EngineError) -> SIMD3<Float>? {
      guard let values else { return nil }
      guard values.count == 3, values.allSatisfy({ abs($0) < 1e6 }) else {
        throw bad("needs three numbers as \(name)")
      }
      return SIMD3(values)
    }
    let deviation = try channels(settings.deviation, "image_std") ?? Self.defaultStandardDeviation
    guard deviation.min() >= 1e-6 else { throw bad("has an image_std that is not positive") }
    self.init(
      imageSize: imageSize,
      mean: try channels(settings.mean, "image_mean") ?? Self.defaultMean,
      standardDeviation: deviation
    )
  }
}
