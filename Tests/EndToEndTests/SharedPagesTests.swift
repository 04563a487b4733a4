import Foundation
import TestSupport
import Testing

/// A file whose blocks are raw is used where it lies: what no token needs is not read into memory, and two processes have
/// the same pages.
@Suite struct SharedPagesTests {
  /// A chat that answers once and waits.
  private struct Chat {
    let process = Process()
    let input = Pipe()
    let folder: TemporaryFolder

    init(_ model: String) throws {
      folder = try TemporaryFolder()
      process.executableURL = IdefixProcess.binary
      process.arguments = ["chat", model, "--max-tokens", "4"]
      process.environment = ["HOME": folder(""), "XDG_STATE_HOME": folder("")]
      process.standardInput = input
      process.standardOutput = try FileHandle(
        forWritingTo: URL(filePath: try folder.write([], to: "stdout"))
      )
      process.standardError = FileHandle.nullDevice
      try process.run()
      try input.fileHandleForWriting.write(contentsOf: Data("What is this?\n".utf8))
    }

    /// Waits until the file is in use and no more of it comes into memory.
    func settle(_ name: String) async throws {
      var before = 0
      var repeats = 0
      for _ in 0..<600 where repeats < 10 {
        try await Task.sleep(for: .milliseconds(100))
        let now = try pages(of: name).resident
        repeats = now > 0 && now == before ? repeats + 1 : 0
        before = now
      }
    }

    /// KiB of the mapped file in memory, in all, by share, and of this process alone.
    func pages(of name: String) throws -> (resident: Int, share: Int, own: Int) {
      let path = "/proc/\(process.processIdentifier)/smaps"
      var sums: [String: Int] = [:]
      var isModel = false
      for line in try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n") {
        let words = line.split(separator: " ")
        if words.first?.contains("-") == true { isModel = line.hasSuffix(name) }
        guard isModel, words.count == 3, let count = Int(words[1]) else { continue }
        sums[String(words[0]), default: 0] += count
      }
      let own = sums["Private_Clean:", default: 0] + sums["Private_Dirty:", default: 0]
      return (sums["Rss:", default: 0], sums["Pss:", default: 0], own)
    }

    func end() throws {
      try input.fileHandleForWriting.close()
      process.waitUntilExit()
      #expect(process.terminationStatus == 0)
    }
  }

  @Test func twoProcessesHaveTheSamePages() async throws {
    let folder = try TemporaryFolder()
    let model = folder("model.idfx")
    let made = try IdefixProcess.run([
      "convert", Fixture.url("models/micro").path, "-o", model, "--recipe", "f32", "--codec", "raw",
    ])
    #expect(made.status == 0, "\(made.errors)")
    let size = try folder.read("model.idfx").count / 1024

    let first = try Chat(model)
    try await first.settle("model.idfx")
    let second = try Chat(model)
    try await second.settle("model.idfx")
    for chat in [first, second] {
      let pages = try chat.pages(of: "model.idfx")
      #expect(pages.resident > size / 10, "\(pages) of \(size) KiB")
      #expect(pages.share < pages.resident * 3 / 4, "\(pages) of \(size) KiB")
      #expect(pages.own < pages.resident / 10, "\(pages) of \(size) KiB")
    }
    try first.end()
    try second.end()
  }
}
