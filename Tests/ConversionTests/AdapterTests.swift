// LoRA adapters: the fixture adapter, merged, equals the sum done by hand; patterns, scalings and
// target expressions count as PEFT counts them; what cannot be merged is refused.

import Conversion
import Foundation
import TestSupport
import Testing
import WeightFiles

@Suite struct AdapterTests {
  private static let fixture = Fixture.url("adapters/micro").path
  private static let micro = Fixture.url("models/micro").path

  /// A copy of the fixture adapter whose settings were edited.
  private func adapter(_ edit: (inout [String: Any]) -> Void) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    try FileManager.default.copyItem(
      atPath: Self.fixture + "/adapter_model.safetensors",
      toPath: folder("adapter_model.safetensors")
    )
    let data = try Data(contentsOf: URL(filePath: Self.fixture + "/adapter_config.json"))
    var settings = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    edit(&settings)
    let text = try JSONSerialization.data(withJSONObject: settings)
    try folder.write(Array(text), to: "adapter_config.json")
    return folder
  }

  /// The values of a tensor of the model converted by recipe f32 with an adapter.
  private func merged(_ adapter: String, _ name: String) throws -> [Float] {
    let converted = try Converted(recipe: .f32) { $0.adapter = adapter }
    let file = try IdfxFile.open(converted.path)
    #expect(file.metadata.sources.map(\.name).contains("adapter_model.safetensors"))
    let matrix = try file.packed(name)
    return (0..<(matrix.rows * matrix.columns)).map {
      matrix.value(row: $0 / matrix.columns, column: $0 % matrix.columns)
    }
  }

  private func floats(_ file: Safetensors, _ name: String) throws -> [Float] {
    let tensor = try #require(file.tensors.first { $0.name == name })
    return try file.file.bytes(at: tensor.offset, count: tensor.byteCount)
      .withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
  }

  /// `W + scale · B A`, in float64.
  private func expected(_ module: String, scale: Double) throws -> [Double] {
    let model = try Safetensors(path: Self.micro + "/model.safetensors")
    let weights = try Safetensors(path: Self.fixture + "/adapter_model.safetensors")
    let w = try floats(model, module + ".weight")
    let a = try floats(weights, "base_model.model.\(module).lora_A.weight")
    let b = try floats(weights, "base_model.model.\(module).lora_B.weight")
    let columns = a.count / 4
    return w.indices.map { index in
      let sum = (0..<4).reduce(0.0) { sum, r in
        sum + Double(b[index / columns * 4 + r]) * Double(a[r * columns + index % columns])
      }
      return Double(w[index]) + scale * sum
    }
  }

  private static let module = "model.layers.1.self_attn.q_proj"

  private func check(_ adapter: String, _ module: String = module, scale: Double) throws {
    let values = try merged(adapter, module + ".weight")
    let wanted = try expected(module, scale: scale)
    let largest = zip(values, wanted).reduce(0) { max($0, abs(Double($1.0) - $1.1)) }
    #expect(largest < 1e-6)
    let plain = try expected(module, scale: 0)
    #expect(zip(wanted, plain).contains { abs($0 - $1) > 1e-4 }, "the update changes nothing")
  }

  @Test func mergesTheFixture() throws {
    try check(Self.fixture, scale: 2)
    try check(Self.fixture, "model.perceiver_resampler.blocks.1.0.v_proj", scale: 2)
    try check(Self.fixture, "model.vision_model.encoder.layers.0.self_attn.k_proj", scale: 2)
  }

  @Test func scalesByPatternsAndRankStabilised() throws {
    let stabilised = try adapter { $0["use_rslora"] = true }
    try check(stabilised.path, scale: 4)
    let patterned = try adapter { $0["alpha_pattern"] = ["layers.1.self_attn.q_proj": 6] }
    try check(patterned.path, scale: 1.5)
    try check(patterned.path, "model.layers.0.self_attn.q_proj", scale: 2)
    let suffix = try adapter { $0["alpha_pattern"] = ["q_proj": 12] }
    try check(suffix.path, scale: 3)
    let ranks = try adapter {
      $0["r"] = 16
      $0["rank_pattern"] = [".*_proj": 4]
    }
    try check(ranks.path, scale: 2)
  }

  @Test func takesTargetsAsAnExpression() throws {
    let expression = try adapter { $0["target_modules"] = ".*\\.(q|k|v)_proj" }
    try check(expression.path, scale: 2)
  }

  static let refused: [(String, @Sendable (inout [String: Any]) -> Void)] = [
    ("DoRA", { $0["use_dora"] = true }),
    ("another method", { $0["peft_type"] = "IA3" }),
    ("trained biases", { $0["bias"] = "all" }),
    ("saved modules", { $0["modules_to_save"] = ["lm_head"] }),
    ("transposed", { $0["fan_in_fan_out"] = true }),
    ("another rank", { $0["r"] = 8 }),
    ("no rank", { $0["r"] = 0 }),
    ("targets without one of them", { $0["target_modules"] = ["q_proj", "k_proj"] }),
    ("a broken expression", { $0["target_modules"] = "(" }),
    ("an expression of 1 MB", { $0["target_modules"] = String(repeating: "a?", count: 1 << 18) }),
    ("an expression that takes for ever", { $0["target_modules"] = "(?:[a-z0-9_.]+)+!" }),
    ("a broken pattern", { $0["rank_pattern"] = ["q_proj)": 4] }),
    ("a pattern that takes for ever", { $0["alpha_pattern"] = ["(?:[a-z0-9_.]+)+!": 4] }),
  ]

  @Test(arguments: refused.indices)
  func refuses(_ index: Int) throws {
    let (name, edit) = Self.refused[index]
    let folder = try adapter(edit)
    let error = #expect(throws: ConversionError.self, "\(name)") {
      try Converted(recipe: .f32) { $0.adapter = folder.path }
    }
    #expect(error?.kind == .badData, "\(name)")
  }
}
