// Which reference cases there are: those of the fixtures, and of a folder named in the environment.

import Foundation
import IdeficsModel
import Kernels
import Tensors
import TestSupport
import Testing

/// One case of one reference model.
struct ModelCase: Sendable, CustomTestStringConvertible {
  let folder: URL
  let model: String
  let name: String

  var testDescription: String { "\(model)/\(name)" }

  /// Every case of the fixtures, and of `$IDEFIX_REFERENCE` if that is set.
  static func all() -> [ModelCase] {
    var folders = [Fixture.url("")]
    if let more = ProcessInfo.processInfo.environment["IDEFIX_REFERENCE"] {
      folders.append(URL(filePath: more))
    }
    let files = FileManager.default
    return folders.flatMap { folder in
      let models =
        (try? files.contentsOfDirectory(atPath: folder.appending(path: "cases").path)) ?? []
      return models.sorted().flatMap { model in
        let path = folder.appending(path: "cases/\(model)").path
        let names = ((try? files.contentsOfDirectory(atPath: path)) ?? []).filter {
          $0.hasSuffix(".json")
        }
        return names.sorted().map {
          ModelCase(folder: folder, model: model, name: String($0.dropLast(5)))
        }
      }
    }
  }

  func reference() throws -> ReferenceCase {
    try ReferenceCase(model: model, name: name, folder: folder)
  }

  func image(_ file: String) -> URL { folder.appending(path: "images/\(file)") }

  func configuration() throws -> Configuration {
    let path = folder.appending(path: "models/\(model)/config.json")
    return try Configuration(json: Array(try Data(contentsOf: path)))
  }

  func source(
    encoding: @escaping @Sendable (WeightRole) -> WeightEncoding = { _ in .f32 }
  ) throws -> CheckpointSource {
    try CheckpointSource(
      path: folder.appending(path: "models/\(model)").path,
      configuration: try configuration(),
      encoding: encoding
    )
  }

  func harness(
    isa: ISA? = nil,
    threads: Int? = nil,
    tokensPerStep: Int = 256,
    encoding: @escaping @Sendable (WeightRole) -> WeightEncoding = { _ in .f32 }
  ) throws -> ModelHarness {
    try ModelHarness(
      source: try source(encoding: encoding),
      configuration: try configuration(),
      isa: isa,
      threads: threads,
      tokensPerStep: tokensPerStep
    )
  }
}
