// `idefix convert`: a Hugging Face checkpoint folder in, one `.idfx` file out.

import ArgumentParser
import Conversion
import Dispatch
import Foundation
import IdeficsModel
import WeightFiles

/// Converts a checkpoint.
struct ConvertCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "convert",
    abstract: "Convert a Hugging Face checkpoint folder (safetensors) to an .idfx file.",
    discussion: """
      An interrupted conversion goes on where it stopped when the same command is given again; the
      final name only ever holds a whole file.

      With --calibrate, the 4-bit matrices of the text stack are fitted to what the model meets in the rows \
      of a file: {"prompt": [{"text": …} | {"image": PATH} …], "answers": […]}, one a line, as `eval` takes \
      them. It takes much longer; one layer of the model is in memory at a time.

      Example: idefix convert ./idefics-9b-instruct -o idefics-9b-instruct.idfx
      """
  )

  @Argument(help: ArgumentHelp("The checkpoint folder.", valueName: "source"))
  var source: String

  @Option(name: .shortAndLong, help: ArgumentHelp("The file to write.", valueName: "out.idfx"))
  var output: String?

  @Option(help: "f32, bf16, q8, q4, or a recipe file (.json).")
  var recipe = "q4"

  @Option(
    help: "Coding of blocks: zstd (smaller, but for the embedding) or raw (used in place)."
  )
  var codec = "zstd"

  @Option(help: "Level of zstd, 1 to 19.")
  var level = 3

  @Option(help: "A PEFT LoRA adapter folder to merge first.")
  var adapter: String?

  @Option(help: ArgumentHelp("Rows to calibrate with.", valueName: "rows.jsonl"))
  var calibrate: String?

  @Option(
    help: ArgumentHelp(
      "With --calibrate: weighted (codebooks and scales) or compensated (and rounding; default).",
      valueName: "method"
    )
  )
  var calibration: CalibrationMethod?

  @Option(help: "Worker threads (default: all cores).")
  var threads: Int?

  @Flag(name: .customLong("dry-run"), help: "Print what would be done, from the headers alone.")
  var isDryRun = false

  @Flag(help: "Replace the file if it exists.")
  var force = false

  @Flag(help: "Print one JSON document.")
  var json = false

  @Flag(help: "Print nothing but errors.")
  var quiet = false

  func validate() throws {
    guard isDryRun || output != nil else {
      throw ValidationError("Name the file to write with -o.")
    }
    guard calibration == nil || calibrate != nil else {
      throw ValidationError("--calibration needs --calibrate.")
    }
    guard (1...19).contains(level) else { throw ValidationError("--level must be 1 to 19.") }
    guard threads.map({ (1...1024).contains($0) }) ?? true else {
      throw ValidationError("--threads must be between 1 and 1024.")
    }
    guard ["zstd", "raw"].contains(codec) else {
      throw ValidationError("--codec must be zstd or raw.")
    }
  }

  func execute() async throws {
    let checkpoint = try ConversionSource(path: source)
    let (recipe, rows) = try CalibrationFile.apply(
      calibrate,
      method: calibration,
      to: try .named(recipe),
      of: checkpoint
    )
    let plan = try ConversionPlan(source: checkpoint, recipe: recipe)
    guard !isDryRun, let output else {
      try printPlan(plan)
      return
    }
    var options = ConversionOptions()
    options.codec = codec == "raw" ? .raw : .zstd
    options.level = level
    options.replacesExisting = force
    options.adapter = adapter
    options.calibration = rows
    if let threads { options.threads = threads }

    let cancellation = CancellationFlag()
    let interrupts = InterruptHandler { cancellation.raise() }
    defer { interrupts.restore() }
    let bar = ProgressBar("Converting", unit: .bytes, isQuiet: quiet)
    let report: ConversionReport
    do {
      report = try CheckpointConverter.convert(
        checkpoint,
        plan: plan,
        to: output,
        options: options,
        cancellation: cancellation
      ) { bar.update(done: $0.completedBytes, total: $0.totalBytes, earlier: $0.resumedBytes) }
    } catch ConversionError.cancelled {
      bar.clear()
      throw CommandFailure(
        .interrupted,
        "Interrupted; the same command goes on where this one stopped."
      )
    }
    bar.clear()
    if json {
      try JSONOutput.write(report)
    } else if !quiet {
      Terminal.write(summary(report, output))
    }
  }

  private func printPlan(_ plan: ConversionPlan) throws {
    let document = PlanDocument(plan)
    if json { return try JSONOutput.write(document) }
    for step in document.tensors {
      Terminal.write("\(step.encoding)\t\(step.shape)\t\(step.bytes)\t\(step.name)\n")
    }
    for name in document.ignored { Terminal.write("ignored\t\t0\t\(name)\n") }
    Terminal.write(
      "\(document.tensors.count) tensors, \(ByteCount(document.sourceBytes)) become at most "
        + "\(ByteCount(document.bytes)) with recipe \(document.recipe)\n"
    )
  }

  private func summary(_ report: ConversionReport, _ output: String) -> String {
    let rate = ByteCount(Int(report.bytesPerSecond))
    return "\(output): \(ByteCount(report.sourceBytes)) became \(ByteCount(report.fileBytes)) in "
      + String(format: "%.1f s", report.seconds) + " (\(rate)/s), recipe \(report.recipe), "
      + String(
        format: "%.2f bits a weight, relative squared error %.2e\n",
        report.bitsPerWeight,
        report.relativeSquaredError
      )
  }
}

/// What `convert --dry-run --json` prints.
private struct PlanDocument: Encodable {
  struct Tensor: Encodable {
    let name: String
    let shape: String
    let role: String
    let encoding: String
    let bytes: Int
  }

  let recipe: String
  let sourceBytes: Int
  let bytes: Int
  let tensors: [Tensor]
  let ignored: [String]

  init(_ plan: ConversionPlan) {
    recipe = plan.recipe.name
    sourceBytes = plan.sourceByteCount
    bytes = plan.byteCount
    tensors = plan.steps.map {
      Tensor(
        name: $0.source.name,
        shape: $0.source.shape.description,
        role: $0.role.rawValue,
        encoding: $0.layout?.encoding.name ?? "dense",
        bytes: $0.byteCount
      )
    }
    ignored = plan.ignored
  }
}
