// Which model a command uses, and on what.

import ArgumentParser
import Foundation
import Idefix
import Kernels

/// The options that work everywhere a model runs.
struct ModelArguments: ParsableArguments {
  @Option(help: "Threads of the kernels (default: physical cores this process may use).")
  var threads: Int?

  @Option(help: "Instruction set: portable, avx2, avxvnni, avx512vnni or neon (default: the best).")
  var isa: String?

  @Option(help: "Ceiling on resident memory, such as 6G.")
  var memory: ByteCount?

  @Option(name: .customLong("context"), help: "Tokens a sequence may have.")
  var contextTokens: Int?

  @Option(name: .customLong("kv"), help: "Storage of cached keys and values: f32, f16 or int8.")
  var cacheElement: CacheElement = .f16

  @Flag(help: "No progress on stderr.")
  var quiet = false

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("--threads must be between 1 and 1024.")
    }
    if let isa, !ISA.available.contains(where: { $0.rawValue == isa }) {
      let known = ISA.available.map(\.rawValue).joined(separator: ", ")
      throw ValidationError("--isa must be one of \(known) on this machine.")
    }
    if let contextTokens, contextTokens < 1 {
      throw ValidationError("--context must be at least 1.")
    }
  }

  /// Engine options of these arguments.
  var engineOptions: EngineOptions {
    var options = EngineOptions()
    options.threads = threads
    options.isa = isa
    options.memory = memory?.bytes
    options.contextTokens = contextTokens
    options.cacheElement = cacheElement
    return options
  }

  /// Loads the model at `path`, or the default one.
  func loadEngine(_ path: String?) async throws -> Engine {
    try await loadEngine(path, options: engineOptions)
  }

  /// Loads the model at `path`, or the default one, and says where its weights are if that is not plain.
  func loadEngine(_ path: String?, options: EngineOptions) async throws -> Engine {
    ProcessMemory.returnLargeBuffers()
    let engine = try await Engine.load(from: try ModelPath.resolve(path), options: options)
    // Of the text of tokenizers and settings, which was read into tables.
    ProcessMemory.returnFreeMemory()
    if !quiet, let line = engine.residency.summary { Terminal.writeError(line) }
    return engine
  }
}

extension CacheElement: ExpressibleByArgument {}

extension WeightResidency {
  /// One line on what is streamed and how fast that will be; `nil` when nothing is.
  var summary: String? {
    guard isStreaming else { return nil }
    var reads: [String] = []
    if streamedBytesPerPass > 0 {
      reads.append("\(ByteCount(streamedBytesPerPass)) for every token")
    }
    if streamedBytesPerImage > 0 {
      reads.append("\(ByteCount(streamedBytesPerImage)) for every image")
    }
    return "memory budget: \(ByteCount(pinnedBytes)) of weights stay; read anew: "
      + reads.joined(separator: ", ")
      + (secondsPerToken.map { "; about \(Rate.perToken($0))" } ?? "") + "\n"
  }

  /// One line on what loading took; `nil` when the weights are used in place.
  var loadSummary: String? {
    guard loadSeconds > 0, loadedBytes > 0 else { return nil }
    func rate(_ bytesPerSecond: Double) -> String {
      bytesPerSecond.isFinite ? "\(ByteCount(Int(bytesPerSecond)))/s" : "at once"
    }
    return "read \(ByteCount(loadedBytes)) in \(Rate.seconds(loadSeconds)), "
      + "\(rate(Double(loadedBytes) / loadSeconds)): file \(rate(readBytesPerSecond)), "
      + "decoder \(rate(decodedBytesPerSecond))"
  }
}

/// Finds the model file.
enum ModelPath {
  /// The path given, else `$IDEFIX_MODEL`, else the demo model of the clone that the program was
  /// built in or is run from.
  static func resolve(_ path: String?) throws -> String {
    if let path { return try existing(path) }
    if let path = ProcessInfo.processInfo.environment["IDEFIX_MODEL"], !path.isEmpty {
      return try existing(path)
    }
    let program = Bundle.main.executableURL?.resolvingSymlinksInPath().deletingLastPathComponent()
    let starts = [URL(filePath: FileManager.default.currentDirectoryPath), program].compactMap(
      \.self
    )
    for start in starts {
      var folder = start
      for _ in 0..<6 {
        let candidate = folder.appending(path: "Models/demo.idfx").path
        if FileManager.default.fileExists(atPath: candidate) { return candidate }
        folder.deleteLastPathComponent()
      }
    }
    throw CommandFailure(
      .noInput,
      "No model named, $IDEFIX_MODEL is not set, and there is no Models/demo.idfx here or above. "
        + "Name a model: idefix convert makes one from a Hugging Face checkpoint folder."
    )
  }

  private static func existing(_ path: String) throws -> String {
    guard FileManager.default.fileExists(atPath: path) else {
      throw CommandFailure(.noInput, "There is no model file \(path).")
    }
    return path
  }
}
