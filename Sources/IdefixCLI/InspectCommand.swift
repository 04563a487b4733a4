// `idefix inspect`: what an .idfx file says about itself.

import ArgumentParser
import Foundation
import IdeficsModel
import JSONText
import WeightFiles

/// Describes a model file.
struct InspectCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Show the configuration, recipe, sizes, errors and provenance of an .idfx file.",
    discussion: """
      Reads the directory of the file only.

      Example: idefix inspect idefics-9b-instruct.idfx --tensors
      """
  )

  @Argument(help: "A model file (.idfx; default: $IDEFIX_MODEL or the demo model).")
  var model: String?

  @Flag(help: "List every tensor.")
  var tensors = false

  @Flag(help: "Print one JSON document.")
  var json = false

  func execute() async throws {
    let path = try ModelPath.resolve(model)
    let file = try IdfxFile.open(path)
    let description = FileDescription(file, path: path, listsTensors: tensors || json)
    guard !json else { return try JSONOutput.write(description) }
    Terminal.write(description.text)
  }
}

/// What `inspect` shows.
private struct FileDescription: Encodable {
  struct Tensor: Encodable {
    let name: String
    let shape: [Int]
    let encoding: String
    let codebook: [Int]?
    let bytes: Int
    let storedBytes: Int
    let relativeSquaredError: Double
  }

  struct Encoding: Encodable {
    let encoding: String
    let tensors: Int
    let parameters: Int
    let bytes: Int
    let storedBytes: Int
    let bitsPerWeight: Double
    let relativeSquaredError: Double
  }

  struct Source: Encodable {
    let name: String
    let bytes: Int
    let sha256: String
  }

  struct Model: Encodable {
    let hiddenSize: Int
    let intermediateSize: Int
    let layers: Int
    let heads: Int
    let crossBlocks: Int
    let vocabularySize: Int
    let additionalVocabularySize: Int
    let imageSize: Int
    let imageStates: Int
    let visionLayers: Int
    let visionWidth: Int
  }

  let file: String
  let toolVersion: String
  let recipe: String
  let fileBytes: Int
  let weightBytes: Int
  let parameters: Int
  let bitsPerWeight: Double
  let model: Model?
  let encodings: [Encoding]
  let files: [String]
  let sources: [Source]
  let tensors: [Tensor]?

  init(_ file: IdfxFile, path: String, listsTensors: Bool) {
    self.file = path
    toolVersion = file.metadata.toolVersion
    let recipe = (try? JSONValue(parsing: Array(file.metadata.recipe.utf8)))?["name"]
    self.recipe = recipe?.string ?? "unknown"
    fileBytes = file.fileByteCount
    weightBytes = file.tensors.reduce(0) { $0 + $1.byteCount }
    parameters = file.tensors.reduce(0) { $0 + $1.shape.count }
    bitsPerWeight = Self.bits(weightBytes, parameters)
    let configuration = (try? file.embeddedFile("config.json")).flatMap { bytes in
      bytes.flatMap { try? Configuration(json: $0) }
    }
    model = configuration.map(Model.init)
    let names = ["q4g16", "q4g32", "q8", "bf16", "f32", "dense"]
    encodings = names.compactMap { name in
      let own = file.tensors.filter { Self.encoding($0) == name }
      guard !own.isEmpty else { return nil }
      let bytes = own.reduce(0) { $0 + $1.byteCount }
      let count = own.reduce(0) { $0 + $1.shape.count }
      let signal = own.reduce(0) { $0 + $1.signalEnergy }
      return Encoding(
        encoding: name,
        tensors: own.count,
        parameters: count,
        bytes: bytes,
        storedBytes: own.reduce(0) { $0 + $1.storedByteCount },
        bitsPerWeight: Self.bits(bytes, count),
        relativeSquaredError: signal > 0 ? own.reduce(0) { $0 + $1.errorEnergy } / signal : 0
      )
    }
    files = file.metadata.files
    sources = file.metadata.sources.map {
      Source(name: $0.name, bytes: $0.byteCount, sha256: FileDigest.hexadecimal($0.sha256))
    }
    tensors = listsTensors ? file.tensors.map(Self.describe) : nil
  }

  private static func describe(_ tensor: IdfxTensor) -> Tensor {
    var codebook: [Int]?
    if case .packed(let layout, let values) = tensor.storage, layout.encoding.hasCodebook {
      codebook = values.values.map(Int.init)
    }
    return Tensor(
      name: tensor.name,
      shape: tensor.shape.dimensions,
      encoding: encoding(tensor),
      codebook: codebook,
      bytes: tensor.byteCount,
      storedBytes: tensor.storedByteCount,
      relativeSquaredError: tensor.relativeSquaredError
    )
  }

  private static func encoding(_ tensor: IdfxTensor) -> String {
    if case .packed(let layout, _) = tensor.storage { layout.encoding.name } else { "dense" }
  }

  private static func bits(_ bytes: Int, _ count: Int) -> Double {
    count > 0 ? Double(bytes) * 8 / Double(count) : 0
  }

  /// For people.
  var text: String {
    var lines = ["\(file): \(ByteCount(fileBytes)), recipe \(recipe), written by \(toolVersion)"]
    if let model {
      lines.append(
        "text    \(model.layers) layers of \(model.hiddenSize), \(model.heads) heads, "
          + "\(model.crossBlocks) cross blocks, \(model.vocabularySize) + "
          + "\(model.additionalVocabularySize) tokens"
      )
      lines.append(
        "images  \(model.imageSize) pixels, \(model.visionLayers) layers of \(model.visionWidth), "
          + "\(model.imageStates) states each"
      )
    }
    lines.append(
      "weights \(parameters) in \(ByteCount(weightBytes)), "
        + String(format: "%.3f bits each", bitsPerWeight)
    )
    for encoding in encodings {
      lines.append(
        "  \(encoding.encoding): \(encoding.tensors) tensors, \(encoding.parameters) weights, "
          + "\(ByteCount(encoding.bytes)) (\(ByteCount(encoding.storedBytes)) in the file), "
          + String(
            format: "%.3f bits each, relative squared error %.3e",
            encoding.bitsPerWeight,
            encoding.relativeSquaredError
          )
      )
    }
    lines.append("holds   \(files.joined(separator: ", "))")
    for source in sources {
      lines.append("from    \(source.name), \(source.bytes) bytes, SHA-256 \(source.sha256)")
    }
    for tensor in tensors ?? [] {
      lines.append(
        "\(tensor.name)\t\(tensor.shape)\t\(tensor.encoding)\t\(tensor.storedBytes)\t"
          + String(format: "%.3e", tensor.relativeSquaredError)
      )
    }
    return lines.joined(separator: "\n") + "\n"
  }
}

extension FileDescription.Model {
  fileprivate init(_ c: Configuration) {
    hiddenSize = c.hiddenSize
    intermediateSize = c.intermediateSize
    layers = c.layers
    heads = c.heads
    crossBlocks = c.crossBlocks
    vocabularySize = c.vocabularySize
    additionalVocabularySize = c.additionalVocabularySize
    imageSize = c.vision.imageSize
    imageStates = c.imageStates
    visionLayers = c.vision.layers
    visionWidth = c.vision.width
  }
}
