import Foundation
import TestSupport
import Testing

/// `idefix chat` and Ctrl-C: it stops the answer, each time, and not the program.
@Suite struct InterruptedChatTests {
  /// Waits until `holds`; an issue if that takes too long.
  private func wait(for what: String, _ holds: () throws -> Bool) throws {
    let deadline = ContinuousClock.now + .seconds(120)
    while try !holds() {
      try #require(ContinuousClock.now < deadline, "waited in vain for \(what)")
      usleep(1000)
    }
  }

  @Test func stopsEveryAnswerAndGoesOn() throws {
    let folder = try TemporaryFolder()
    let output = try folder.write([], to: "stdout")
    let errors = try folder.write([], to: "stderr")
    func size() throws -> Int { try folder.read("stdout").count }
    func said() throws -> String { String(decoding: try folder.read("stderr"), as: UTF8.self) }

    let input = Pipe()
    func type(_ line: String) throws {
      try input.fileHandleForWriting.write(contentsOf: Data((line + "\n").utf8))
    }
    let process = Process()
    process.executableURL = IdefixProcess.binary
    // The slowest kernels and an answer that does not end by itself leave time to interrupt it.
    process.arguments = ["chat", "--isa", "portable", "--ignore-eos", "--max-tokens", "1500"]
    process.environment = ProcessInfo.processInfo.environment
      .merging(["XDG_STATE_HOME": folder("state")]) { $1 }
    process.standardInput = input
    process.standardOutput = try FileHandle(forWritingTo: URL(filePath: output))
    process.standardError = try FileHandle(forWritingTo: URL(filePath: errors))
    try process.run()
    defer { if process.isRunning { process.terminate() } }

    for round in 1...2 {
      let before = try size()
      try type("Tell me a story.")
      try wait(for: "answer \(round)") { try size() > before }
      kill(process.processIdentifier, SIGINT)
      // What it says next comes after the answer.
      try type("/image nowhere\(round).png")
      try wait(for: "the end of answer \(round)") {
        try !process.isRunning || said().contains("nowhere\(round).png")
      }
      try #require(process.isRunning, "Ctrl-C ended the program in answer \(round)")
    }
    try type("/stats")
    try input.fileHandleForWriting.close()
    process.waitUntilExit()
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
    // Neither answer came to its end, or its tokens would have been counted.
    let told = try said()
    #expect(told.contains("Nothing was answered yet."), "\(told)")
  }
}
