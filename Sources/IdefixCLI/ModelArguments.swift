// Which model a command uses, and on what.

import ArgumentParser
import Foundation
import Idefix

/// The options that work everywhere a model runs.
struct ModelArguments: ParsableArguments {
  @Option(help: "Threads of the kernels (default: physical cores this process may use).")
  var threads: Int?

  @Option(help: "Instruction set: portable, avx2, avx512vnni or neon (default: the best there is).")
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
    try await Engine.load(from: try ModelPath.resolve(path), options: engineOptions)
  }
}

extension CacheElement: ExpressibleByArgument {}

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
