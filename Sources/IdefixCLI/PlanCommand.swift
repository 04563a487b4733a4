// `idefix plan`: the memory ledger of a model, from headers only.

import ArgumentParser
import Conversion
import Foundation
import IdeficsModel
import Kernels
import WeightFiles

/// Forecasts memory.
struct PlanCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Forecast the memory a model takes, from headers only.",
    discussion: """
      For an .idfx file, or for a checkpoint folder and the recipe it would be converted with.

      Example: idefix plan ./idefics-9b-instruct --recipe q4 --memory 6G --context 2048
      """
  )

  @Argument(
    help: ArgumentHelp("An .idfx file or a checkpoint folder.", valueName: "file-or-source")
  )
  var model: String

  @Option(help: "Recipe, for a checkpoint folder: f32, bf16, q8, q4, or a recipe file (.json).")
  var recipe = "q4"

  @Option(help: "The budget, such as 6G.")
  var memory: ByteCount?

  @Option(help: "Tokens of each sequence (default: the model's positions).")
  var context: Int?

  @Option(help: "Sequences computed together.")
  var sequences = 1

  @Option(help: "Images of each sequence.")
  var images = 1

  @Option(name: .customLong("kv"), help: "Storage of cached keys and values: f32, f16 or int8.")
  var cacheElement = "f16"

  @Flag(help: "Print one JSON document.")
  var json = false

  func validate() throws {
    guard context.map({ (2...1 << 20).contains($0) }) ?? true else {
      throw ValidationError("--context must be between 2 and 1048576.")
    }
    guard (1...1024).contains(sequences) else {
      throw ValidationError("--sequences must be between 1 and 1024.")
    }
    guard (0...1024).contains(images) else {
      throw ValidationError("--images must be between 0 and 1024.")
    }
    guard KVElement(rawValue: cacheElement) != nil else {
      throw ValidationError("--kv must be f32, f16 or int8.")
    }
  }

  func execute() async throws {
    let ledger = try makeLedger()
    guard !json else { return try JSONOutput.write(ledger) }
    Terminal.write(text(ledger))
  }

  private func makeLedger() throws -> MemoryLedger {
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: model, isDirectory: &isFolder), isFolder.boolValue {
      let source = try ConversionSource(path: model)
      let plan = try ConversionPlan(source: source, recipe: try .named(recipe))
      return MemoryLedger(
        plan: plan,
        configuration: source.configuration,
        load: load(source.configuration),
        budget: memory?.bytes
      )
    }
    let file = try IdfxFile.open(model)
    guard let json = try file.embeddedFile("config.json") else {
      throw CommandFailure(.data, "\(model): holds no config.json.")
    }
    let configuration = try Configuration(json: json)
    return MemoryLedger(
      file: file,
      configuration: configuration,
      load: load(configuration),
      budget: memory?.bytes
    )
  }

  private func load(_ configuration: Configuration) -> MemoryLedger.Load {
    var load = MemoryLedger.Load(
      context: context ?? configuration.maxPositions,
      pageBytes: PageStore.bytesPerPage(
        heads: configuration.heads,
        headDim: configuration.headDim,
        element: KVElement(rawValue: cacheElement) ?? .f16
      )
    )
    load.sequences = sequences
    load.images = images
    return load
  }

  private func text(_ ledger: MemoryLedger) -> String {
    var lines = ledger.weights.map { weights in
      "weights  \(weights.role.rawValue)\t\(weights.encodings.joined(separator: ", "))\t"
        + "\(weights.parameters)\t\(ByteCount(weights.bytes))"
    }
    lines.append("weights  all\t\t\t\(ByteCount(ledger.weightBytes))")
    lines.append("cache    per 1,000 tokens\t\t\t\(ByteCount(ledger.cacheBytesPer1000Tokens))")
    lines.append("cache    per image\t\t\t\(ByteCount(ledger.cacheBytesPerImage))")
    lines.append("cache    this load\t\t\t\(ByteCount(ledger.cacheBytes))")
    lines.append("scratch\t\t\t\t\(ByteCount(ledger.scratchBytes))")
    lines.append("program\t\t\t\t\(ByteCount(ledger.programBytes))")
    lines.append("total\t\t\t\t\(ByteCount(ledger.totalBytes))")
    if let budget = ledger.budgetBytes {
      let verdict =
        !ledger.isPossible
        ? "not possible: cache and scratch alone exceed it"
        : ledger.streamedBytes == 0
          ? "everything fits"
          : "\(ByteCount(ledger.streamedBytes)) of weights would be read anew in every pass"
      lines.append("budget\t\t\t\t\(ByteCount(budget)): \(verdict)")
    }
    return lines.joined(separator: "\n") + "\n"
  }
}
