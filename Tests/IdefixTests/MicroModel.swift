import Conversion
import Foundation
import Idefix
import TestSupport
import Tokenizers
import WeightFiles

/// The committed micro checkpoint.
enum MicroModel {
  static func tokenizer() throws -> Tokenizer {
    var files: [String: [UInt8]] = [:]
    for name in Tokenizer.fileNames { files[name] = try? Fixture.bytes("models/micro/" + name) }
    return try Tokenizer(files: files)
  }

  /// Converts the checkpoint, `adapter` merged, runs `body` with the path of the file, and removes it.
  static func withFile<Result>(
    recipe: QuantizationRecipe = .f32,
    codec: BlockCodec = .zstd,
    adapter: String? = nil,
    _ body: (String) async throws -> Result
  ) async throws -> Result {
    let path = FileManager.default.temporaryDirectory
      .appending(path: "idefix-\(UUID().uuidString).idfx").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let source = try ConversionSource(path: Fixture.url("models/micro").path)
    let plan = try ConversionPlan(source: source, recipe: recipe)
    var options = ConversionOptions()
    options.codec = codec
    options.adapter = adapter
    _ = try CheckpointConverter.convert(source, plan: plan, to: path, options: options)
    return try await body(path)
  }

  /// Runs `body` with an engine on the micro checkpoint.
  static func withEngine<Result>(
    recipe: QuantizationRecipe = .f32,
    adapter: String? = nil,
    change: (inout EngineOptions) -> Void = { _ in },
    _ body: (Engine) async throws -> Result
  ) async throws -> Result {
    try await withFile(recipe: recipe, adapter: adapter) { path in
      var options = EngineOptions()
      options.cacheElement = .f32
      options.threads = 1
      change(&options)
      let engine = try await Engine.load(from: path, options: options)
      let result = try await body(engine)
      await engine.shutDown()
      return result
    }
  }
}
