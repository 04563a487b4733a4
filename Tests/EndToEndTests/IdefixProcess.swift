// Runs the built `idefix` binary as a user would, and collects what it says.

import Foundation
import TestSupport

/// One finished run of the binary.
struct IdefixProcess {
  let status: Int32
  let output: String
  let errors: String

  /// The binary next to the test bundle.
  static let binary = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
    .appending(path: "idefix")

  /// Runs `idefix` with `arguments` and `input` on its standard input, and waits for it.
  static func run(
    _ arguments: [String],
    environment: [String: String] = [:],
    input: String = ""
  ) throws -> IdefixProcess {
    let process = Process()
    process.executableURL = binary
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    // Files rather than pipes: neither stream can fill up while the other is read.
    let folder = try TemporaryFolder()
    let output = URL(filePath: folder("stdout"))
    let errors = URL(filePath: folder("stderr"))
    for file in [output, errors] {
      _ = FileManager.default.createFile(atPath: file.path, contents: nil)
    }
    try folder.write(Array(input.utf8), to: "stdin")
    process.standardInput = try FileHandle(forReadingFrom: URL(filePath: folder("stdin")))
    process.standardOutput = try FileHandle(forWritingTo: output)
    process.standardError = try FileHandle(forWritingTo: errors)
    try process.run()
    process.waitUntilExit()
    return IdefixProcess(
      status: process.terminationStatus,
      output: try String(contentsOf: output, encoding: .utf8),
      errors: try String(contentsOf: errors, encoding: .utf8)
    )
  }

  /// stdout as a JSON object.
  func json() throws -> [String: Any] {
    let value = try JSONSerialization.jsonObject(with: Data(output.utf8))
    return value as? [String: Any] ?? [:]
  }
}
