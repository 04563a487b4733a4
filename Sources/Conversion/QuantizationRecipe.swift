// Which encoding each role of weight gets. Recipes are JSON; four are built in and stand in
// Models/recipes as well, byte for byte. Refuses unknown keys, roles and encodings, and quantising
// the rows of added tokens (2 or 3 rows: nothing to gain, everything to lose).

import IdeficsModel
import JSONText
import Tensors
import WeightFiles

/// An encoding per role of weight.
public struct QuantizationRecipe: Sendable, Hashable {
  /// Largest recipe file that is read.
  public static let maximumBytes = 32 << 10

  /// Name, shown in reports.
  public let name: String
  /// Encoding of every matrix role.
  public let encodings: [WeightRole: WeightEncoding]
  /// How calibration is used in the 4-bit matrices of the text stack; `nil`: there is none.
  public private(set) var calibration: CalibrationMethod?

  private init(
    name: String,
    default encoding: WeightEncoding,
    _ roles: [WeightRole: WeightEncoding] = [:]
  ) {
    self.name = name
    var encodings = roles
    for role in WeightRole.allCases where role.isMatrix && encodings[role] == nil {
      encodings[role] = encoding
    }
    self.encodings = encodings
  }

  /// Everything float32: exact.
  public static let f32 = QuantizationRecipe(name: "f32", default: .f32)
  /// Everything bfloat16: exact for the published checkpoints.
  public static let bf16 = QuantizationRecipe(name: "bf16", default: .bf16)
  /// int8 everywhere but in the rows of added tokens.
  public static let q8 = QuantizationRecipe(
    name: "q8",
    default: .q8,
    [.additionalEmbedding: .f32, .additionalHead: .f32]
  )
  /// 4-bit text stack; int8 for what sees pixels, tables and head.
  ///
  /// The attention projections of cross blocks (4 % of the 4-bit weights) have groups of 32, which pays
  /// for the row scales of all: under 4.5 bits a weight at the shape of 9b.
  public static let q4 = QuantizationRecipe(
    name: "q4",
    default: .q8,
    [
      .decoderAttention: .q4g16, .decoderMLP: .q4g16, .crossAttention: .q4g32,
      .crossImage: .q4g32, .crossMLP: .q4g16, .additionalEmbedding: .f32, .additionalHead: .f32,
    ]
  )
  /// As `q4` with groups of 32 in decoder and cross MLPs: a fifth of a bit less a weight.
  public static let q4Small = QuantizationRecipe(
    name: "q4-small",
    default: .q8,
    [
      .decoderAttention: .q4g32, .decoderMLP: .q4g32, .crossAttention: .q4g16,
      .crossImage: .q4g16, .crossMLP: .q4g32, .additionalEmbedding: .f32, .additionalHead: .f32,
    ]
  )

  /// The recipes that need no file.
  public static let builtIn = [f32, bf16, q8, q4, q4Small]

  /// A built-in recipe by name, or the recipe in the file at that path.
  public static func named(_ nameOrPath: String) throws(ConversionError) -> QuantizationRecipe {
    if let known = builtIn.first(where: { $0.name == nameOrPath }) { return known }
    do {
      let bytes = try InputFile.contents(of: nameOrPath, limit: maximumBytes)
      return try QuantizationRecipe(json: bytes, path: nameOrPath)
    } catch let error as WeightFileError {
      throw .weights(error)
    } catch let error as ConversionError {
      throw error
    } catch {
      throw .recipe(path: nameOrPath, reason: "\(error)")
    }
  }

  /// The recipe with calibration by `method`.
  public func calibrated(by method: CalibrationMethod) -> QuantizationRecipe {
    var recipe = self
    recipe.calibration = method
    return recipe
  }

  /// Throws unless there are prompts exactly when the recipe asks for calibration.
  func check(_ rows: CalibrationRows?, path: String) throws(ConversionError) {
    switch (calibration, rows) {
    case (.some, nil):
      throw .recipe(path: path, reason: "it asks for calibration, and there are no prompts for it")
    case (nil, .some):
      throw .recipe(path: path, reason: "it does not ask for calibration")
    default: return
    }
  }

  /// Reads a recipe:
  /// `{"name": TEXT, "default": ENCODING, "calibration"?: METHOD, "roles": {ROLE: ENCODING, …}}`.
  public init(json: [UInt8], path: String) throws(ConversionError) {
    func bad(_ reason: String) -> ConversionError { .recipe(path: path, reason: reason) }
    let value: JSONValue
    do {
      value = try JSONValue(parsing: json)
    } catch {
      throw bad("\(error)")
    }
    guard let members = value.object else { throw bad("it is not a JSON object") }
    let known = ["name", "default", "calibration", "roles"]
    for key in members.keys.sorted() where !known.contains(key) {
      throw bad("unknown key \"\(key)\"")
    }
    func encoding(_ value: JSONValue?, _ key: String) throws(ConversionError) -> WeightEncoding {
      guard let encoding = WeightEncoding.allCases.first(where: { $0.name == value?.string })
      else {
        let known = WeightEncoding.allCases.map(\.name).joined(separator: ", ")
        throw bad("\"\(key)\" must be one of \(known)")
      }
      return encoding
    }
    guard let name = value["name"]?.string, !name.isEmpty, name.utf8.count <= 64 else {
      throw bad("\"name\" must be a text of 1 to 64 bytes")
    }
    guard let roleValues = (value["roles"] ?? .object([:])).object else {
      throw bad("\"roles\" must be an object")
    }
    var roles: [WeightRole: WeightEncoding] = [:]
    for (key, value) in roleValues.sorted(by: { $0.key < $1.key }) {
      guard let role = WeightRole(rawValue: key), role.isMatrix else {
        throw bad("unknown role \"\(key)\"")
      }
      roles[role] = try encoding(value, key)
    }
    self.init(name: name, default: try encoding(value["default"], "default"), roles)
    if let method = value["calibration"] {
      calibration = method.string.flatMap(CalibrationMethod.init(rawValue:))
      guard calibration != nil else {
        let methods = CalibrationMethod.allCases.map(\.rawValue).joined(separator: ", ")
        throw bad("\"calibration\" must be one of \(methods)")
      }
    }
    for role in [WeightRole.additionalEmbedding, .additionalHead] {
      guard encodings[role]?.isQuantized != true else {
        throw bad("the rows of added tokens (\"\(role.rawValue)\") must be f32 or bf16")
      }
    }
  }

  /// The recipe as canonical JSON: every role spelt out, in the order of `WeightRole`.
  public var json: String {
    let roles = WeightRole.allCases.compactMap { role in
      encodings[role].map { "    \"\(role.rawValue)\": \"\($0.name)\"" }
    }
    let method = calibration.map { "\n  \"calibration\": \"\($0.rawValue)\"," } ?? ""
    return """
      {
        "name": "\(Self.escaped(name))",
        "default": "\((encodings[.head] ?? .f32).name)",\(method)
        "roles": {
      \(roles.joined(separator: ",\n"))
        }
      }

      """
  }

  /// How a weight of `role` is stored; `nil` means dense float32.
  public func encoding(for role: WeightRole) -> WeightEncoding? { encodings[role] }

  private static func escaped(_ text: String) -> String {
    text.unicodeScalars.map { scalar in
      switch scalar {
      case "\"": "\\\""
      case "\\": "\\\\"
      case _ where scalar.value < 0x20:
        "\\u00" + (scalar.value < 16 ? "0" : "") + String(scalar.value, radix: 16)
      default: String(scalar)
      }
    }.joined()
  }
}
