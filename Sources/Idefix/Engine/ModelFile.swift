// What an .idfx file holds besides weights, read and checked: configuration, tokenizer, image preprocessing.

import Crypto
import Foundation
import IdeficsModel
import Images
import Tokenizers
import WeightFiles

/// An opened model file.
struct ModelFile: Sendable {
  let path: String
  let source: IdfxFile
  let configuration: Configuration
  let tokenizer: Tokenizer
  let processor: ImageProcessor

  init(path: String, access: IdfxAccess) throws {
    self.path = path
    let file = try IdfxFile.open(path, access: access)
    source = file
    guard let config = try file.embeddedFile("config.json") else {
      throw EngineError.invalidModel(path: path, reason: "it holds no config.json")
    }
    configuration = try Configuration(json: config)
    var files: [String: [UInt8]] = [:]
    for name in Tokenizer.fileNames { files[name] = try file.embeddedFile(name) }
    tokenizer = try Tokenizer(files: files)
    let preprocessor = try file.embeddedFile("preprocessor_config.json")
    processor = try ImageProcessor(
      json: preprocessor,
      imageSize: configuration.vision.imageSize,
      path: path
    )
  }

  /// Name of the recipe, or `custom`.
  var recipeName: String {
    struct Named: Decodable { var name: String }
    let json = Data(source.metadata.recipe.utf8)
    return (try? JSONDecoder().decode(Named.self, from: json))?.name ?? "custom"
  }

  /// A name of everything that determines the model's results.
  var fingerprint: String {
    var hash = SHA256()
    func add(_ bytes: some Sequence<UInt8>) {
      let array = Array(bytes)
      hash.update(data: Array("\(array.count):".utf8) + array)
    }
    add(source.metadata.recipe.utf8)
    for input in source.metadata.sources { add(input.name.utf8 + input.sha256) }
    for tensor in source.tensors {
      add("\(tensor.name) \(tensor.encoding) \(tensor.signalEnergy) \(tensor.errorEnergy)".utf8)
    }
    return hash.finalize().map { byte in
      let digits = String(byte, radix: 16)
      return digits.count < 2 ? "0" + digits : digits
    }.joined()
  }
}
