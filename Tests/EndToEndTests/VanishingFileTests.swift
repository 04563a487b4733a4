import Foundation
import TestSupport
import Testing

/// A model file that is cut short while a process has it mapped: exit code 74 and a sentence, no crash.
@Suite struct VanishingFileTests {
  @Test func aMappedFileMayBeCutShort() async throws {
    let folder = try TemporaryFolder()
    let model = folder("model.idfx")
    let made = try IdefixProcess.run([
      "convert", Fixture.url("models/micro").path, "-o", model, "--recipe", "f32", "--codec", "raw",
    ])
    #expect(made.status == 0, "\(made.errors)")

    let process = Process()
    let input = Pipe()
    let errors = Pipe()
    process.executableURL = IdefixProcess.binary
    process.arguments = ["chat", model, "--max-tokens", "4"]
    process.environment = ["HOME": folder(""), "XDG_STATE_HOME": folder("")]
    process.standardInput = input
    process.standardOutput = FileHandle.nullDevice
    process.standardError = errors
    try process.run()
    // What is said is read after the model was loaded. Should a busy machine not get there in time, the file is found
    // to have changed while it is loaded, which must end in the same way.
    let maps = "/proc/\(process.processIdentifier)/maps"
    for _ in 0..<600 {
      if SystemFile.text(maps)?.contains("model.idfx") == true { break }
      try await Task.sleep(for: .milliseconds(100))
    }
    try await Task.sleep(for: .seconds(2))
    #expect(truncate(model, 8192) == 0)
    try input.fileHandleForWriting.write(contentsOf: Data("What is this?\n".utf8))
    try input.fileHandleForWriting.close()
    let said = try errors.fileHandleForReading.readToEnd() ?? Data()
    process.waitUntilExit()
    let text = String(decoding: said, as: UTF8.self)
    #expect(process.terminationReason == .exit && process.terminationStatus == 74, "\(text)")
    #expect(text.contains("changed while it was"), "\(text)")
  }
}
