// What every evaluation takes: the model, where results go, how much at a time.

import ArgumentParser
import Evaluation
import Foundation
import Idefix

/// The options of every evaluation.
struct EvalArguments: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Write the summary here as JSON, and results line by line to FILE.results.jsonl next to it.",
      valueName: "file"
    )
  )
  var output: String?

  @Flag(help: "Drop results of an earlier run in place of going on with them.")
  var fresh = false

  @Option(help: "Requests in flight.")
  var inFlight = 16

  @Option(help: "Resampled data sets for the intervals.")
  var replicates = 1000

  @Option(help: "Seed of the resampling and of the choice of examples.")
  var seed: UInt64 = 0

  @Flag(help: "Print one JSON document instead of a table.")
  var json = false

  func validate() throws {
    guard (1...256).contains(inFlight) else {
      throw ValidationError("--in-flight must be between 1 and 256.")
    }
    guard (1...1_000_000).contains(replicates) else {
      throw ValidationError("--replicates must be between 1 and 1000000.")
    }
  }

  var bootstrap: Bootstrap { Bootstrap(replicates: replicates, seed: seed) }

  /// Path of the results next to the summary.
  private var results: String? {
    output.map { ($0.hasSuffix(".json") ? String($0.dropLast(5)) : $0) + ".results.jsonl" }
  }

  /// The results so far of a run.
  func log<Record>(_ header: RunHeader) throws -> ResultsLog<Record> {
    guard let results else { return ResultsLog() }
    do throws(EvaluationError) {
      return try ResultsLog(path: results, header: header, startsAnew: fresh)
    } catch {
      guard case .mismatch = error else { throw error }
      throw CommandFailure(.data, "\(error) --fresh replaces it.")
    }
  }

  /// Loads a model with room for the requests in flight.
  func loadEngine(_ path: String?, _ model: ModelArguments) async throws -> Engine {
    var options = model.engineOptions
    options.maxSequences = inFlight
    options.maxWaiting = max(inFlight, options.maxWaiting)
    return try await model.loadEngine(path, options: options)
  }

  /// A runner that shows how far it is.
  func runner(_ unit: String, _ model: ModelArguments) -> (EvaluationRunner, ProgressBar) {
    let bar = ProgressBar("Evaluating", unit: .items(unit), isQuiet: model.quiet)
    let runner = EvaluationRunner(inFlight: inFlight) { bar.update(done: $0, total: $1) }
    return (runner, bar)
  }

  /// Prints a report, and writes it where it should go.
  func publish(_ report: EvaluationReport) throws {
    let bytes = try JSONOutput.document(report)
    if let output { try AtomicFile.write(bytes, to: output) }
    Terminal.write(json ? String(decoding: bytes, as: UTF8.self) : report.table)
  }
}

extension EvaluationReport {
  /// The report for a person.
  var table: String {
    var lines = [
      "\(evaluation) of \(model.name) (\(model.recipe), \(model.fingerprint.prefix(12))), \(items) items"
    ]
    for metric in metrics {
      if let estimate = metric.estimate {
        lines.append("  \(metric.name): \(Self.text(estimate, isShare: metric.isShare))")
      }
      if let value = metric.value {
        lines.append("  \(metric.name): \(Self.number(value))")
      }
      if let values = metric.values {
        let sorted = values.sorted { $0.value < $1.value }
        let pairs = sorted.map { "\($0.key) \(Self.number($0.value))" }
        lines.append("  \(metric.name): " + pairs.joined(separator: "  "))
      }
    }
    let isShare = metrics.first?.isShare ?? false
    for (tag, values) in groups.sorted(by: { $0.key < $1.key }) {
      for (value, estimate) in values.sorted(by: { $0.key < $1.key }) {
        lines.append("    \(tag) \(value): \(Self.text(estimate, isShare: isShare))")
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func text(_ estimate: Estimate, isShare: Bool) -> String {
    guard isShare else {
      return "\(number(estimate.value)) (\(number(estimate.low)) to \(number(estimate.high)))"
    }
    return String(
      format: "%.2f %% (%.2f to %.2f)",
      100 * estimate.value,
      100 * estimate.low,
      100 * estimate.high
    )
  }

  private static func number(_ value: Double) -> String { String(format: "%.6g", value) }
}
