// `idefix export`: a model file back to a Hugging Face checkpoint folder.

import ArgumentParser
import Conversion
import IdeficsModel
import WeightFiles

/// Exports a checkpoint.
struct ExportCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "export",
    abstract: "Write an .idfx file back as a Hugging Face checkpoint folder (float32).",
    discussion: """
      The tensors are exactly the values Idefix computes with, so that other programs can check them.

      Example: idefix export idefics-9b-instruct.idfx -o ./idefics-9b-instruct-q4
      """
  )

  @Argument(help: ArgumentHelp("The file to export.", valueName: "file.idfx"))
  var file: String

  @Option(name: .shortAndLong, help: ArgumentHelp("The folder to write.", valueName: "folder"))
  var output: String

  @Flag(help: "Print one JSON document.")
  var json = false

  @Flag(help: "Print nothing but errors.")
  var quiet = false

  func execute() async throws {
    let opened = try IdfxFile.open(file)
    let cancellation = CancellationFlag()
    let interrupts = InterruptHandler { cancellation.raise() }
    defer { interrupts.restore() }
    let bar = ProgressBar("Exporting", unit: .bytes, isQuiet: quiet)
    defer { bar.clear() }
    let bytes = try CheckpointExporter.export(opened, to: output, cancellation: cancellation) {
      bar.update(done: $0, total: $1)
    }
    bar.clear()
    let result = Result(folder: output, tensors: opened.tensors.count, bytes: bytes)
    guard !json else { return try JSONOutput.write(result) }
    guard !quiet else { return }
    Terminal.write("\(output): \(opened.tensors.count) tensors, \(ByteCount(bytes)) of float32\n")
  }

  private struct Result: Encodable {
    let folder: String
    let tensors: Int
    let bytes: Int
  }
}
