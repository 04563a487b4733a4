// A PEFT LoRA adapter folder: adapter_config.json and adapter_model.safetensors, checked against the
// model it is to be merged into. Understands rank and alpha patterns, rank-stabilised scaling and both
// forms of target_modules. Refuses what it would merge wrongly: DoRA, biases, whole saved modules,
// transposed weights, and anything that trains other parameters.

import Foundation
import IdeficsModel
import JSONText
import Tensors
import WeightFiles

/// The low-rank updates of an adapter, by the name of the weight they change.
struct LowRankAdapter {
  private static let maximumConfigurationBytes = 1 << 20
  private static let prefix = "base_model.model."

  /// The open weights file.
  let file: InputFile
  /// The bytes of the configuration.
  let configuration: [UInt8]
  /// Updates by the name of the weight.
  let updates: [String: LowRankUpdate]

  /// Opens the adapter at `path` for the model of `plan`.
  init(path: String, plan: ConversionPlan) throws(ConversionError) {
    let weights: Safetensors
    do throws(WeightFileError) {
      configuration = try InputFile.contents(
        of: path + "/adapter_config.json",
        limit: Self.maximumConfigurationBytes
      )
      weights = try Safetensors(path: path + "/adapter_model.safetensors")
    } catch {
      throw .weights(error)
    }
    file = weights.file
    let settings = try AdapterSettings(configuration, path: path)
    let steps = Dictionary(uniqueKeysWithValues: plan.steps.map { ($0.source.name, $0) })
    let tensors = Dictionary(uniqueKeysWithValues: weights.tensors.map { ($0.name, $0) })
    var updates: [String: LowRankUpdate] = [:]
    for tensor in weights.tensors {
      func bad(_ reason: String) -> ConversionError {
        .weights(.badTensor(path: weights.file.path, tensor: tensor.name, reason: reason))
      }
      guard tensor.name.hasPrefix(Self.prefix) else { throw bad("is not of a PEFT adapter") }
      let local = tensor.name.dropFirst(Self.prefix.count)
      if local.hasSuffix(".lora_B.weight") {
        let partner = tensor.name.dropLast(".lora_B.weight".count) + ".lora_A.weight"
        guard tensors[String(partner)] != nil else { throw bad("has no lora_A beside it") }
        continue
      }
      guard local.hasSuffix(".lora_A.weight") else { throw bad("is no low-rank update") }
      let module = String(local.dropLast(".lora_A.weight".count))
      guard let step = steps[module + ".weight"], let layout = step.layout,
        step.source.shape.dimensions.count == 2
      else { throw bad("changes a layer that this model does not have") }
      guard try settings.targets(module) else { throw bad("is not among the target_modules") }
      guard let b = tensors[Self.prefix + module + ".lora_B.weight"] else {
        throw bad("has no lora_B beside it")
      }
      let rank = try settings.rank(of: module)
      guard tensor.shape.dimensions == [rank, layout.columns],
        b.shape.dimensions == [layout.rows, rank]
      else { throw bad("does not have the shape that rank \(rank) and its layer ask for") }
      updates[module + ".weight"] = LowRankUpdate(
        a: try Self.floats(tensor, weights.file),
        b: try Self.floats(b, weights.file),
        rank: rank,
        columns: layout.columns,
        scale: Float(try settings.scale(of: module, rank: rank))
      )
    }
    guard !updates.isEmpty else {
      throw .adapter(path: path, reason: "it holds no low-rank update")
    }
    self.updates = updates
  }

  private static func floats(
    _ tensor: CheckpointTensor,
    _ file: InputFile
  ) throws(ConversionError) -> [Float] {
    guard FloatDecoding.isSupported(tensor.dtype) else {
      throw .weights(
        .badTensor(path: file.path, tensor: tensor.name, reason: "does not hold floating point")
      )
    }
    let bytes: [UInt8]
    do throws(WeightFileError) {
      bytes = try file.bytes(at: tensor.offset, count: tensor.byteCount)
    } catch {
      throw .weights(error)
    }
    return [Float](unsafeUninitializedCapacity: tensor.shape.count) { buffer, count in
      count = tensor.shape.count
      bytes.withUnsafeBytes {
        FloatDecoding.decode($0, as: tensor.dtype, into: .init(rebasing: buffer[..<count]))
      }
    }
  }
}

/// What adapter_config.json says.
package struct AdapterSettings {
  private let rank: Int
  private let alpha: Double
  private let isRankStabilised: Bool
  private let path: String
  private let ranks: [(pattern: ModulePattern, value: Double)]
  private let alphas: [(pattern: ModulePattern, value: Double)]
  private let suffixes: [String]?
  private let expression: ModulePattern?

  /// Reads the file's bytes; `path` is named in errors.
  package init(_ json: [UInt8], path: String) throws(ConversionError) {
    func bad(_ reason: String) -> ConversionError { .adapter(path: path, reason: reason) }
    let value: JSONValue
    do {
      value = try JSONValue(parsing: json)
    } catch {
      throw bad("adapter_config.json is not valid JSON: \(error)")
    }
    guard value["peft_type"]?.string == "LORA" else { throw bad("peft_type is not LORA") }
    for flag in ["use_dora", "fan_in_fan_out", "lora_bias", "use_qalora"]
    where value[flag]?.bool == true {
      throw bad("\(flag) is not supported")
    }
    if let bias = value["bias"]?.string, bias != "none" { throw bad("trained biases") }
    for field in ["modules_to_save", "target_parameters", "layer_replication"] {
      switch value[field] {
      case nil, .null, .array([]), .object([:]): continue
      default: throw bad("\(field) is not supported")
      }
    }
    guard let rank = value["r"]?.integer, (1...65536).contains(rank) else {
      throw bad("r is not a positive integer")
    }
    guard let alpha = value["lora_alpha"]?.double else { throw bad("lora_alpha is missing") }
    self.path = path
    self.rank = rank
    self.alpha = alpha
    isRankStabilised = value["use_rslora"]?.bool ?? false
    let time = MatchingTime()
    func patterns(
      _ field: String
    ) throws(ConversionError) -> [(pattern: ModulePattern, value: Double)] {
      var patterns: [(pattern: ModulePattern, value: Double)] = []
      for (key, member) in (value[field]?.object ?? [:]).sorted(by: { $0.key < $1.key }) {
        guard let number = member.double else { continue }
        // PEFT matches these at the end of a module's path.
        guard let pattern = ModulePattern(key, prefix: "(?:.*\\.)?", time: time) else {
          throw bad("\(field) holds what is no regular expression")
        }
        patterns.append((pattern, number))
      }
      return patterns
    }
    ranks = try patterns("rank_pattern")
    alphas = try patterns("alpha_pattern")
    switch value["target_modules"] {
    case .array(let names):
      suffixes = names.compactMap(\.string)
      expression = nil
    case .string("all-linear"):
      suffixes = nil
      expression = nil
    case .string(let pattern):
      suffixes = nil
      guard let compiled = ModulePattern(pattern, time: time) else {
        throw bad("target_modules is no regular expression")
      }
      expression = compiled
    default: throw bad("target_modules is missing")
    }
  }

  /// Whether the adapter says that it changes `module`.
  package func targets(_ module: String) throws(ConversionError) -> Bool {
    if let expression { return try matches(expression, module) }
    guard let suffixes else { return true }
    return suffixes.contains { module == $0 || module.hasSuffix("." + $0) }
  }

  /// The rank of the update of `module`.
  package func rank(of module: String) throws(ConversionError) -> Int {
    try lookUp(module, ranks).flatMap { Int(exactly: $0) } ?? rank
  }

  /// What the update of `module` is multiplied by.
  package func scale(of module: String, rank: Int) throws(ConversionError) -> Double {
    let alpha = try lookUp(module, alphas) ?? alpha
    return isRankStabilised ? alpha / Double(rank).squareRoot() : alpha / Double(rank)
  }

  private func lookUp(
    _ module: String,
    _ patterns: [(pattern: ModulePattern, value: Double)]
  ) throws(ConversionError) -> Double? {
    for (pattern, value) in patterns where try matches(pattern, module) { return value }
    return nil
  }

  private func matches(
    _ pattern: ModulePattern,
    _ module: String
  ) throws(ConversionError) -> Bool {
    guard let isMatch = pattern.matches(module) else {
      throw .adapter(path: path, reason: "its patterns take too long to match")
    }
    return isMatch
  }
}
