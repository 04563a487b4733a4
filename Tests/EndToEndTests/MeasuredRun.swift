// Runs the built `idefix` through the `measure` program beside it, which tells what the run took.

import Foundation
import TestSupport

/// One finished run of the binary with its costs.
struct MeasuredRun {
  /// Exit code, or 1000 and the signal that ended it.
  let status: Int
  /// Largest resident size, in bytes.
  let peakBytes: Int
  /// Processor time, in milliseconds.
  let processorMilliseconds: Double
  /// Time on the clock, in milliseconds.
  let wallMilliseconds: Double
  /// stderr.
  let errors: String

  /// Runs `idefix` with `arguments` and waits for it.
  static func idefix(_ arguments: [String]) throws -> MeasuredRun {
    let folder = try TemporaryFolder()
    let output = URL(filePath: try folder.write([], to: "stdout"))
    let errors = URL(filePath: try folder.write([], to: "stderr"))
    let process = Process()
    process.executableURL = IdefixProcess.binary.deletingLastPathComponent()
      .appending(path: "measure")
    process.arguments = [IdefixProcess.binary.path] + arguments
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: output)
    process.standardError = try FileHandle(forWritingTo: errors)
    try process.run()
    process.waitUntilExit()
    let fields = try String(contentsOf: output, encoding: .utf8).split(
      whereSeparator: \.isWhitespace
    )
    .compactMap { Int($0) }
    guard fields.count == 4 else { throw CocoaError(.fileReadCorruptFile) }
    return MeasuredRun(
      status: fields[0],
      peakBytes: fields[1] << 10,
      processorMilliseconds: Double(fields[2]) / 1000,
      wallMilliseconds: Double(fields[3]) / 1000,
      errors: try String(contentsOf: errors, encoding: .utf8)
    )
  }
}
