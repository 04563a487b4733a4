import Foundation
import TestSupport
import Testing

/// A file whose blocks are raw is used where it lies: what no token needs is not read into memory, or leaves it after use,
/// and two processes have the same pages.
@Suite struct SharedPagesTests {
  /// A chat that answers once and then waits for more.
  private struct Chat {
    let process = Process()
    let input = Pipe()
    let folder: TemporaryFolder

    init(_ model: String, image: String? = nil) throws {
      folder = try TemporaryFolder()
      let said = try FileHandle(forWritingTo: URL(filePath: try folder.write([], to: "said")))
      process.executableURL = IdefixProcess.binary
      process.arguments = ["chat", model, "--max-tokens", "4"]
      process.environment = ["HOME": folder(""), "XDG_STATE_HOME": folder("")]
      process.standardInput = input
      process.standardOutput = said
      process.standardError = said
      try process.run()
      let lines = (image.map { "/image \($0)\n" } ?? "") + "What is this?\n"
      try input.fileHandleForWriting.write(contentsOf: Data(lines.utf8))
    }

    /// Returns when the answer is there, or a minute has passed.
    func waitForAnswer() async throws {
      for _ in 0..<600 {
        let said = String(decoding: try folder.read("said"), as: UTF8.self)
        if said.contains("tokens used") { return }
        try await Task.sleep(for: .milliseconds(100))
      }
    }

    /// KiB of the mapped file in this process's memory, its share of them, and what it has for itself.
    func pages(of name: String) throws -> (resident: Int, share: Int, own: Int) {
      let maps = try #require(SystemFile.text("/proc/\(process.processIdentifier)/smaps"))
      var sums: [String: Int] = [:]
      var isModel = false
      for line in maps.split(separator: "\n") {
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

  /// A raw file in `folder`, with its size in KiB.
  private func model(in folder: TemporaryFolder) throws -> (path: String, size: Int) {
    let path = folder("model.idfx")
    let made = try IdefixProcess.run([
      "convert", Fixture.url("models/micro").path, "-o", path, "--recipe", "f32", "--codec", "raw",
    ])
    #expect(made.status == 0, "\(made.errors)")
    return (path, try folder.read("model.idfx").count / 1024)
  }

  @Test func twoProcessesHaveTheSamePages() async throws {
    let folder = try TemporaryFolder()
    let (model, size) = try model(in: folder)
    let first = try Chat(model)
    let second = try Chat(model)
    try await first.waitForAnswer()
    try await second.waitForAnswer()
    for chat in [first, second] {
      let pages = try chat.pages(of: "model.idfx")
      #expect(pages.resident > size / 4, "\(pages) of \(size) KiB")
      // Nothing of images was needed.
      #expect(pages.resident < size * 3 / 4, "\(pages) of \(size) KiB")
      #expect(pages.share <= pages.resident * 6 / 10, "\(pages) of \(size) KiB")
      #expect(pages.own <= pages.resident / 10, "\(pages) of \(size) KiB")
    }
    try first.end()
    try second.end()
  }

  @Test func weightsOfImagesLeaveMemoryAfterUse() async throws {
    let folder = try TemporaryFolder()
    let (model, size) = try model(in: folder)
    let plain = try Chat(model)
    let seeing = try Chat(model, image: Fixture.url("images/rgba.png").path)
    try await plain.waitForAnswer()
    try await seeing.waitForAnswer()
    let text = try plain.pages(of: "model.idfx").resident
    let image = try seeing.pages(of: "model.idfx").resident
    // Cross-attention, which text alone does not need, stays.
    #expect(image < text + size / 4, "\(image) and \(text) of \(size) KiB")
    try plain.end()
    try seeing.end()
  }
}
