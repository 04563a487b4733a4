// What a conversion will do, decided from headers alone: which tensor of the checkpoint becomes which
// tensor of the file, in which encoding. A value; `--dry-run` prints it. Refuses checkpoints whose
// tensors are missing, unknown or misshapen, and reports all of them at once.

import IdeficsModel
import Tensors
import WeightFiles

/// A checkpoint folder whose headers and configuration have been read.
public struct ConversionSource: Sendable {
  /// The companion files that are kept in the `.idfx` file, in this order.
  public static let companionNames = [
    "config.json", "generation_config.json", "preprocessor_config.json", "tokenizer.json",
    "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
  ]

  /// Tensors.
  public let folder: CheckpointFolder
  /// Hyper-parameters.
  public let configuration: Configuration
  /// Companion files, by name, in the order of `companionNames`.
  public let companions: [(name: String, bytes: [UInt8])]

  /// Opens a checkpoint folder.
  public init(path: String) throws(ConversionError) {
    do {
      folder = try CheckpointFolder(path: path)
      var companions: [(name: String, bytes: [UInt8])] = []
      for name in Self.companionNames {
        if let bytes = try folder.companion(name) { companions.append((name, bytes)) }
      }
      self.companions = companions
    } catch {
      throw .weights(error)
    }
    guard let config = companions.first, config.name == "config.json" else {
      throw .missingFile(path: path, name: "config.json")
    }
    do {
      configuration = try Configuration(json: config.bytes)
    } catch {
      throw .configuration(path: path + "/config.json", error)
    }
  }
}

/// One tensor of the conversion.
public struct ConversionStep: Sendable, Hashable {
  /// Where it comes from; its name is kept.
  public let source: CheckpointTensor
  /// What it is for.
  public let role: WeightRole
  /// How its elements will be stored; `nil` means dense float32.
  public let layout: PackedLayout?

  /// Bytes in memory once converted.
  public var byteCount: Int { layout?.byteCount ?? source.shape.count * 4 }
}

/// Everything that a conversion will do.
public struct ConversionPlan: Sendable {
  /// Encodings by role.
  public let recipe: QuantizationRecipe
  /// Tensors, in the order of the file.
  public let steps: [ConversionStep]
  /// Names of tensors of the checkpoint that are known and not needed.
  public let ignored: [String]

  /// Plans the conversion of `source` by `recipe`.
  public init(source: ConversionSource, recipe: QuantizationRecipe) throws(ConversionError) {
    var faults: [ConversionError.InventoryFault] = []
    var steps: [ConversionStep] = []
    var known: Set<String> = []
    for wanted in WeightNames.inventory(of: source.configuration) {
      known.insert(wanted.name)
      guard let tensor = source.folder.tensor(named: wanted.name) else {
        faults.append(.missing(wanted.name))
        continue
      }
      guard wanted.shapes.contains(tensor.shape.dimensions) else {
        faults.append(
          .shape(wanted.name, expected: wanted.shapes[0], actual: tensor.shape.dimensions)
        )
        continue
      }
      guard FloatDecoding.isSupported(tensor.dtype) else {
        faults.append(.type(wanted.name, tensor.dtype.rawValue))
        continue
      }
      var layout: PackedLayout?
      if let encoding = recipe.encoding(for: wanted.role), let rows = tensor.shape.dimensions.first
      {
        layout = PackedLayout(rows: rows, columns: tensor.shape.count / rows, encoding: encoding)
        guard layout != nil else {
          faults.append(
            .shape(wanted.name, expected: wanted.shapes[0], actual: tensor.shape.dimensions)
          )
          continue
        }
      }
      steps.append(ConversionStep(source: tensor, role: wanted.role, layout: layout))
    }
    var ignored: [String] = []
    for tensor in source.folder.tensors where !known.contains(tensor.name) {
      if WeightNames.isIgnored(tensor.name) {
        ignored.append(tensor.name)
      } else {
        faults.append(.unknown(tensor.name))
      }
    }
    guard faults.isEmpty else { throw .inventory(path: source.folder.path, faults) }
    self.recipe = recipe
    self.steps = steps
    self.ignored = ignored
  }

  /// Bytes of the source tensors that will be read.
  public var sourceByteCount: Int { steps.reduce(0) { $0 + $1.source.byteCount } }
  /// Bytes of the converted tensors in memory.
  public var byteCount: Int { steps.reduce(0) { $0 + $1.byteCount } }
  /// Number of parameters.
  public var parameterCount: Int { steps.reduce(0) { $0 + $1.source.shape.count } }
}
