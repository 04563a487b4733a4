import Foundation
import TestSupport
import Testing

/// `idefix convert` killed at random moments, with SIGKILL: nothing half-written ever has the final name,
/// and what the same command makes of the rest is, byte for byte, what an undisturbed run makes.
@Suite struct InterruptedConversionTests {
  private static let checkpoint = Fixture.url("models/micro-sharded").path
  private static let kills = 50

  private func arguments(_ output: String) -> [String] {
    // The slowest level leaves the most moments to be killed in.
    ["convert", Self.checkpoint, "-o", output, "--quiet", "--level", "19"]
  }

  /// Starts a conversion.
  private func start(to output: String, errors: FileHandle) throws -> Process {
    let process = Process()
    process.executableURL = IdefixProcess.binary
    process.arguments = arguments(output)
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle.nullDevice
    process.standardError = errors
    try process.run()
    return process
  }

  /// Starts a conversion and kills it after `delay`; whether it had finished before.
  private func convert(to output: String, killedAfter delay: Duration) throws -> Bool {
    let process = try start(to: output, errors: .nullDevice)
    let deadline = ContinuousClock.now + delay
    while process.isRunning, ContinuousClock.now < deadline { usleep(500) }
    if process.isRunning { kill(process.processIdentifier, SIGKILL) }
    process.waitUntilExit()
    return process.terminationReason == .exit && process.terminationStatus == 0
  }

  @Test func killedConversionsResumeToTheSameBytes() throws {
    let folder = try TemporaryFolder()
    let started = ContinuousClock.now
    let whole = folder("whole.idfx")
    let run = try IdefixProcess.run(arguments(whole))
    #expect(run.status == 0, "\(run.errors)")
    let duration = started.duration(to: .now)
    let expected = try Data(contentsOf: URL(filePath: whole))

    let output = folder("killed.idfx")
    var random = SeededGenerator(seed: 12)
    var kills = 0
    var conversions = 0
    while kills < Self.kills || conversions == 0 {
      let share = Int.random(in: 0..<1000, using: &random)
      let finished = try convert(to: output, killedAfter: duration * share / 1000)
      if !finished { kills += 1 }
      // A kill may come between the rename and the exit: then the file is there, and must be whole.
      guard finished || FileManager.default.fileExists(atPath: output) else { continue }
      #expect(try Data(contentsOf: URL(filePath: output)) == expected)
      try FileManager.default.removeItem(atPath: output)
      conversions += 1
    }
    let last = try IdefixProcess.run(arguments(output))
    #expect(last.status == 0, "\(last.errors)")
    #expect(try Data(contentsOf: URL(filePath: output)) == expected)
    for name in [output + ".partial", output + ".journal"] {
      #expect(!FileManager.default.fileExists(atPath: name))
    }
  }

  /// Ctrl-C at random moments: exit code 130, nothing under the final name, and the rest as after a kill.
  @Test func interruptedConversionsSaySoAndResume() throws {
    let folder = try TemporaryFolder()
    let started = ContinuousClock.now
    #expect(try IdefixProcess.run(arguments(folder("whole.idfx"))).status == 0)
    let duration = started.duration(to: .now)
    let whole = try folder.read("whole.idfx")
    var random = SeededGenerator(seed: 13)
    var interrupts = 0
    for number in 0..<50 where interrupts < 5 {
      let output = folder("\(number).idfx")
      let errors = URL(filePath: try folder.write([], to: "stderr"))
      let process = try start(to: output, errors: FileHandle(forWritingTo: errors))
      // Before there is such a file, Ctrl-C may still be what the system makes of it.
      while process.isRunning, !folder.exists("\(number).idfx.partial") { usleep(200) }
      let deadline = ContinuousClock.now + duration * Int.random(in: 0..<100, using: &random) / 150
      while process.isRunning, ContinuousClock.now < deadline { usleep(200) }
      process.interrupt()
      process.waitUntilExit()
      #expect(process.terminationReason == .exit, "the signal ended it")
      if process.terminationStatus != 0 {
        interrupts += 1
        let text = String(decoding: try folder.read("stderr"), as: UTF8.self)
        #expect(process.terminationStatus == 130, "\(text)")
        #expect(text.contains("goes on where this one stopped"), "\(text)")
        #expect(!folder.exists("\(number).idfx"))
        let resumed = try IdefixProcess.run(arguments(output))
        #expect(resumed.status == 0, "\(resumed.errors)")
      }
      #expect(try folder.read("\(number).idfx") == whole)
    }
    #expect(interrupts == 5, "all others had finished before")
  }

  /// The system itself refuses to write on, at one size after the other: exit code 74, and in the end the same bytes.
  @Test func whatTheDiskDoesNotTakeIsAnOutputErrorAndResumes() throws {
    let folder = try TemporaryFolder()
    #expect(try IdefixProcess.run(arguments(folder("whole.idfx"))).status == 0)
    let whole = try folder.read("whole.idfx")
    let output = folder("x.idfx")
    let script = "ulimit -f $0; trap '' XFSZ; exec \"$@\""
    for share in 1...4 {
      let process = Process()
      let errors = try folder.write([], to: "stderr")
      process.executableURL = URL(filePath: "/bin/sh")
      // In blocks of 512 or 1,024 bytes, as the shell has it.
      let blocks = whole.count * share / 5 / 1024
      process.arguments =
        ["-c", script, "\(blocks)", IdefixProcess.binary.path] + arguments(output)
      process.standardError = try FileHandle(forWritingTo: URL(filePath: errors))
      try process.run()
      process.waitUntilExit()
      let text = String(decoding: try folder.read("stderr"), as: UTF8.self)
      #expect(process.terminationReason == .exit && process.terminationStatus == 74, "\(text)")
      #expect(text.contains("x.idfx.partial"), "\(text)")
      #expect(!folder.exists("x.idfx"))
    }
    let resumed = try IdefixProcess.run(arguments(output) + ["--json"])
    #expect(resumed.status == 0, "\(resumed.errors)")
    #expect(try resumed.json()["resumed_bytes"] as? Int ?? 0 > 0)
    #expect(try folder.read("x.idfx") == whole)
  }

  @Test func aFolderThatIsNotThereIsAnOutputError() throws {
    let folder = try TemporaryFolder()
    let run = try IdefixProcess.run(arguments(folder("nowhere/x.idfx")))
    #expect(run.status == 74, "\(run.errors)")
    #expect(run.errors.contains("nowhere/x.idfx"))
  }

  @Test func verifyExportAndPlanSpeakForTheFile() throws {
    let folder = try TemporaryFolder()
    let model = folder("model.idfx")
    let converted = try IdefixProcess.run(arguments(model))
    #expect(converted.status == 0)
    #expect(converted.output.isEmpty && converted.errors.isEmpty, "--quiet: \(converted.output)")
    let verified = try IdefixProcess.run([
      "verify", model, "--source", Self.checkpoint, "--quiet", "--json",
    ])
    #expect(verified.status == 0, "\(verified.errors)")
    #expect(try verified.json()["matches_source"] as? Bool == true)
    let exported = try IdefixProcess.run(["export", model, "-o", folder("out"), "--quiet"])
    #expect(exported.status == 0, "\(exported.errors)")
    #expect(exported.output.isEmpty, "--quiet")
    let plan = try IdefixProcess.run(["plan", model, "--memory", "1G", "--json"])
    #expect(try plan.json()["streamed_bytes_per_pass"] as? Int == 0)
    let inspected = try IdefixProcess.run(["inspect", model, "--json"])
    #expect(try inspected.json()["recipe"] as? String == "q4")

    var bytes = try Data(contentsOf: URL(filePath: model))
    bytes[bytes.count / 2] ^= 4
    try bytes.write(to: URL(filePath: model))
    let damaged = try IdefixProcess.run(["verify", model, "--quiet"])
    #expect(damaged.status == 65)
    #expect(damaged.errors.contains(model))
  }
}
