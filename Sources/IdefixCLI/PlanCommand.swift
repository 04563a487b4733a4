// `idefix plan`: the memory ledger of a model, from headers only.

import ArgumentParser
import Conversion
import Foundation
import IdeficsModel
import Idefix
import Kernels
import WeightFiles

/// Forecasts memory.
struct PlanCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Forecast the memory a model takes, from headers only.",
    discussion: """
      For an .idfx file, or for a checkpoint folder and the recipe it would be converted with. With a budget \
      that does not hold all weights, the rest is read anew for every token or image: the token rate is \
      forecast from the rate of the disk and a pass over some of the weights, measured in a moment.

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
  var cacheElement: CacheElement = .f16

  @Option(
    name: .customLong("disk-rate"),
    help: "Bytes per second that the disk gives, such as 500M, instead of measuring it."
  )
  var diskRate: ByteCount?

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
    guard diskRate.map({ $0.bytes > 0 }) ?? true else {
      throw ValidationError("--disk-rate must be positive.")
    }
  }

  func execute() async throws {
    let compute = try ComputeContext()
    var report: PlanReport
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: model, isDirectory: &isFolder), isFolder.boolValue {
      let source = try ConversionSource(path: model)
      let plan = try ConversionPlan(source: source, recipe: try .named(recipe))
      let ledger = MemoryLedger(
        plan.ledgerEntries,
        configuration: source.configuration,
        load: load(source.configuration, compute)
      )
      report = PlanReport(ledger, budget: memory?.bytes)
    } else {
      let file = try IdfxFile.open(model)
      let configuration = try file.modelConfiguration()
      let load = load(configuration, compute)
      let ledger = MemoryLedger(file: file, configuration: configuration, load: load)
      report = PlanReport(ledger, budget: memory?.bytes)
      if let residency = report.residency, residency.isStreaming {
        var forecast = try StreamForecast(
          measuring: file,
          configuration: configuration,
          plan: residency,
          on: compute,
          reserving: report.totalBytes
        )
        if let diskRate {
          forecast.rates.diskBytesPerSecond = Double(diskRate.bytes)
          forecast.imageRates.diskBytesPerSecond = Double(diskRate.bytes)
          forecast.fitsPageCache = false
        }
        report.forecast = PlanReport.Forecast(forecast, residency)
      }
    }
    if json {
      try JSONOutput.write(report)
    } else {
      Terminal.write(report.text)
    }
  }

  private func load(
    _ configuration: Configuration,
    _ compute: ComputeContext
  ) -> MemoryLedger.Load {
    var load = MemoryLedger.Load(
      context: context ?? configuration.maxPositions,
      pageBytes: PageStore.bytesPerPage(
        heads: configuration.heads,
        headDim: configuration.headDim,
        element: KVElement(cacheElement)
      )
    )
    load.sequences = sequences
    load.images = images
    load.decodingThreads = FileWeights.decodingThreads(of: compute.threads)
    return load
  }
}

extension IdfxFile {
  /// The model's hyper-parameters, from the file.
  func modelConfiguration() throws -> Configuration {
    guard let json = try embeddedFile("config.json") else {
      throw CommandFailure(.data, "\(path) holds no config.json.")
    }
    return try Configuration(json: json)
  }
}

extension ConversionPlan {
  /// What the checkpoint will be once it is converted; blocks are taken to be as large in the file as in
  /// memory, which they nearly are.
  fileprivate var ledgerEntries: [MemoryLedger.Entry] {
    steps.map { step in
      MemoryLedger.Entry(
        name: step.source.name,
        encoding: step.layout?.encoding.name ?? "dense",
        parameters: step.source.shape.count,
        bytes: step.byteCount,
        storedBytes: step.byteCount,
        isInPlace: step.role.isReadByRow
      )
    }
  }
}
