// `idefix verify`: every byte of a model file against its checksums, and on demand against its source.

import ArgumentParser
import Conversion
import Foundation
import IdeficsModel
import WeightFiles

/// Verifies a model file.
struct VerifyCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "verify",
    abstract: "Check every checksum of an .idfx file, and optionally compare it with its source.",
    discussion: """
      With --source, every tensor is read and quantised again and compared byte by byte.

      Example: idefix verify idefics-9b-instruct.idfx --source ./idefics-9b-instruct
      """
  )

  @Argument(help: ArgumentHelp("The file to verify.", valueName: "file.idfx"))
  var file: String

  @Option(help: "The checkpoint folder it was made from.")
  var source: String?

  @Option(help: "The PEFT LoRA adapter folder that was merged.")
  var adapter: String?

  @Option(help: ArgumentHelp("The rows it was calibrated with.", valueName: "rows.jsonl"))
  var calibrate: String?

  @Option(help: "Worker threads (default: all cores).")
  var threads: Int?

  @Flag(help: "Print one JSON document.")
  var json = false

  @Flag(help: "Print nothing but errors.")
  var quiet = false

  func validate() throws {
    guard threads.map({ (1...1024).contains($0) }) ?? true else {
      throw ValidationError("--threads must be between 1 and 1024.")
    }
    guard source != nil || (adapter == nil && calibrate == nil) else {
      throw ValidationError("--adapter and --calibrate need --source.")
    }
  }

  func execute() async throws {
    let workers = threads ?? ProcessInfo.processInfo.activeProcessorCount
    let opened = try IdfxFile.open(file, threads: workers)
    let cancellation = CancellationFlag()
    let interrupts = InterruptHandler { cancellation.raise() }
    defer { interrupts.restore() }
    let bar = ProgressBar("Verifying", unit: .bytes, isQuiet: quiet)
    defer { bar.clear() }
    try CheckpointVerifier.verify(opened, cancellation: cancellation) {
      bar.update(done: $0, total: $1)
    }
    if let source {
      let checkpoint = try ConversionSource(path: source)
      try CheckpointVerifier.verify(
        opened,
        against: checkpoint,
        adapter: adapter,
        calibration: try calibrate.map { try CalibrationFile.rows($0, for: checkpoint) },
        threads: workers,
        cancellation: cancellation
      ) { bar.update(done: $0, total: $1) }
    }
    bar.clear()
    let result = Result(
      file: file,
      bytes: opened.fileByteCount,
      tensors: opened.tensors.count,
      matchesSource: source.map { _ in true }
    )
    guard !json else { return try JSONOutput.write(result) }
    guard !quiet else { return }
    let matches = source.map { "; every tensor is what \($0) gives" } ?? ""
    Terminal.write(
      "\(file): \(opened.tensors.count) tensors, \(ByteCount(opened.fileByteCount)), whole\(matches)\n"
    )
  }

  private struct Result: Encodable {
    let file: String
    let bytes: Int
    let tensors: Int
    let matchesSource: Bool?
  }
}
