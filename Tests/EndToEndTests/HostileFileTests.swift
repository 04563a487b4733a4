// Files that lie, through the built binary: exit code 65, one sentence that names the file, no trap, and memory within
// the bars: 64 MiB in all, and beyond what the program takes for itself less than twice the file and 16 MiB.
// With $IDEFIX_HOSTILE_TABLE a line for each file goes there (Tools/check-hostile); time is shown, not tested.

import Foundation
import TestSupport
import Testing
import WeightFiles

@Suite(.serialized) struct HostileFileTests {
  private static let limit = 64 << 20
  private static let checkpoint = Fixture.url("models/micro")

  /// What the program takes for itself: a file that is refused at its first byte.
  private static let baseBytes: Int? = {
    guard let folder = try? TemporaryFolder(), let path = try? folder.write([0], to: "x.idfx")
    else {
      return nil
    }
    return try? MeasuredRun.idefix(["inspect", path]).peakBytes
  }()

  /// Runs a command on what is in `folder` and expects a refusal that says `says`.
  private func expectRefusal(
    _ name: String,
    _ arguments: [String],
    of folder: TemporaryFolder,
    saying says: String
  ) throws {
    let run = try MeasuredRun.idefix(arguments)
    #expect(run.status == 65, "\(name): status \(run.status), \(run.errors)")
    #expect(run.errors.contains(folder.path) && run.errors.contains(says), "\(name): \(run.errors)")
    #expect(run.errors.split(separator: "\n").count == 1, "\(name): \(run.errors)")
    let base = try #require(Self.baseBytes)
    let size = try folder.byteCount()
    #expect(run.peakBytes < Self.limit, "\(name): \(run.peakBytes >> 20) MiB")
    #expect(run.peakBytes - base < 2 * size + 16 << 20, "\(name): \(run.peakBytes >> 20) MiB")
    try Self.record(name, run, size: size)
  }

  private static func record(_ name: String, _ run: MeasuredRun, size: Int) throws {
    guard let path = ProcessInfo.processInfo.environment["IDEFIX_HOSTILE_TABLE"] else { return }
    let line = [
      name, "\(run.status)", "\(size)", String(format: "%.1f", Double(run.peakBytes) / 0x1p20),
      String(format: "%.0f", run.processorMilliseconds),
      String(format: "%.0f", run.wallMilliseconds),
    ].joined(separator: "\t")
    let handle = try FileHandle(forWritingTo: URL(filePath: path))
    try handle.seekToEnd()
    try handle.write(contentsOf: Data((line + "\n").utf8))
    try handle.close()
  }

  // MARK: .idfx

  @Test func directoriesThatLie() throws {
    for file in HostileIdfx.all {
      let folder = try TemporaryFolder()
      let path = try folder.write(file.bytes, to: "x.idfx")
      try expectRefusal("idfx: " + file.name, ["inspect", path], of: folder, saying: file.says)
    }
  }

  /// The largest directories that are read, wrong in their last byte only.
  @Test func largeDirectories() throws {
    var many = HandMadeIdfx()
    many.distinctTensors = IdfxFormat.maximumTensors
    many.tensorCount = IdfxFormat.maximumTensors
    many.extra = [0]
    var long = HandMadeIdfx()
    long.dimensions = [1 << 39]
    long.codec = 1
    long.blocks = [[0]]
    long.storedSizes = [1]
    long.blockRepeats = 524_289
    var folder = try TemporaryFolder()
    var path = try folder.write(many.bytes, to: "x.idfx")
    let after = "after its last tensor"
    try expectRefusal("idfx: 16,384 tensors", ["inspect", path], of: folder, saying: after)
    folder = try TemporaryFolder()
    path = try folder.write(long.bytes, to: "x.idfx")
    try expectRefusal("idfx: 524,288 blocks", ["inspect", path], of: folder, saying: after)
  }

  @Test func zstdBombs() throws {
    // A frame says for itself how large it is; the directory says 2 bytes, or the most that is allowed.
    let magic: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd]
    let runs = (0..<1024).flatMap { _ in [0x02, 0x00, 0x10, 0x41] as [UInt8] }
    let size: [UInt8] = [0, 0, 0, 0, 1, 0, 0, 0]
    let frames: [(String, [UInt8], String)] = [
      ("4 GiB of run lengths", magic + [0xe0] + size + runs, "does not state the size"),
      ("no content size", magic + [0x00, 0x58] + runs + [1, 0, 0], "does not state the size"),
      ("window of 2^31", magic + [0x40, 0xa8, 0, 0] + runs, "window"),
      ("dictionary", magic + [0x21, 7, 2, 0x11, 0, 0, 1, 2], "dictionary"),
      ("skippable frame", [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4], "no zstd frame"),
      (
        "two frames", magic + [0x20, 2, 0x11, 0, 0, 1, 2] + magic + [0x20, 0, 1, 0, 0], "one frame"
      ),
      ("less than it states", magic + [0x20, 2, 0x09, 0, 0, 1], "block 0"),
    ]
    for (name, frame, says) in frames {
      var file = HandMadeIdfx()
      file.fileCodec = 1
      file.fileBlock = frame
      // Otherwise the stored size could not be right, or the file too large for its name.
      file.fileName = "tokenizer.json"
      file.fileSize = frame.count > 600 ? 4 << 20 : 2
      let folder = try TemporaryFolder()
      let path = try folder.write(file.bytes, to: "x.idfx")
      try expectRefusal("zstd: " + name, ["verify", path], of: folder, saying: says)
    }
  }

  @Test func everyTruncation() throws {
    let whole = HandMadeIdfx().bytes
    let edges = [0, 1, 63, 64, 65, 4095, 4096, 4097, 4098, 8191, 8192, 8200]
    for count in edges + (whole.count - 190..<whole.count).filter({ $0 % 10 == 0 }) {
      let folder = try TemporaryFolder()
      let path = try folder.write(Array(whole.prefix(count)), to: "x.idfx")
      try expectRefusal("idfx: cut at \(count)", ["inspect", path], of: folder, saying: "x.idfx")
    }
  }

  // MARK: Checkpoint folders

  /// A checkpoint folder whose named file is replaced.
  private func checkpoint(_ name: String, _ bytes: [UInt8]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for file in try FileManager.default.contentsOfDirectory(atPath: Self.checkpoint.path)
    where file != name && file != "model.safetensors" {
      try FileManager.default.copyItem(
        at: Self.checkpoint.appending(path: file),
        to: URL(filePath: folder(file))
      )
    }
    try folder.write(bytes, to: name)
    return folder
  }

  private func expectRefusal(
    _ name: String,
    _ file: String,
    _ bytes: [UInt8],
    _ says: String
  ) throws {
    let folder = try checkpoint(file, bytes)
    if !file.contains("safetensors") {
      try FileManager.default.createSymbolicLink(
        atPath: folder("model.safetensors"),
        withDestinationPath: folder("weights")
      )
      try folder.write(SafetensorsBytes.file(header: "{}"), to: "weights")
    }
    try expectRefusal(
      "\(file): \(name)",
      ["convert", folder.path, "--dry-run"],
      of: folder,
      saying: says
    )
  }

  @Test func safetensorsThatLie() throws {
    for file in HostileSafetensors.all {
      try expectRefusal(file.name, "model.safetensors", file.bytes, file.says)
    }
  }

  @Test func largeHeaders() throws {
    func fill(_ piece: (Int) -> String, upTo count: Int) -> String {
      var text = ""
      var index = 0
      while text.utf8.count < count {
        text += (index > 0 ? "," : "") + piece(index)
        index += 1
      }
      return text
    }
    let size = Safetensors.maximumHeaderBytes - 1000
    let entries = fill({ SafetensorsBytes.entry("t\($0)", "U8", [1], $0, $0 + 1) }, upTo: size)
    let texts = fill({ "\"\($0)\":\"\"" }, upTo: size)
    let ones = fill({ _ in "1" }, upTo: size)
    let index = "model.safetensors.index.json"
    let indexSize = CheckpointFolder.maximumCompanionBytes - 1000
    let indexNumbers = fill({ _ in "1" }, upTo: indexSize)
    let indexTexts = fill({ "\"\($0)\":\"\"" }, upTo: indexSize)
    let brackets = [UInt8](repeating: UInt8(ascii: "["), count: indexSize)
    let cases: [(String, String, [UInt8], String)] = [
      ("tensors", "model.safetensors", SafetensorsBytes.file(header: "{\(entries)}"), "more than"),
      (
        "metadata", "model.safetensors",
        SafetensorsBytes.file(header: "{\"__metadata__\":{\(texts)}}"), "more than"
      ),
      (
        "dimensions", "model.safetensors",
        SafetensorsBytes.file(header: "{\"a\":{\"shape\":[\(ones)]}}"), "dimensions"
      ),
      ("numbers", index, Array("{\"a\":[\(indexNumbers)]}".utf8), "more than"),
      ("texts", index, Array("{\"weight_map\":{\(indexTexts)}}".utf8), "more than"),
      ("brackets", index, brackets, "nesting"),
      ("anything", index, [UInt8](repeating: UInt8(ascii: " "), count: size), "at most"),
    ]
    for (name, file, bytes, says) in cases {
      try expectRefusal("\(bytes.count >> 20) MiB of " + name, file, bytes, says)
    }
  }

  @Test func configurations() throws {
    let brackets = String(repeating: "[", count: 1 << 20)
    for (name, json) in [
      ("2^20 brackets", brackets),
      ("2^18 numbers", "[" + String(repeating: "1,", count: 1 << 18) + "1]"),
      ("a byte too many", String(repeating: " ", count: 1 << 20) + "!"),
      ("2^63 layers", "{\"num_hidden_layers\": 9223372036854775808}"),
      ("zero heads", "{\"num_attention_heads\": 0}"),
      ("16 million patches", "{\"vision_config\": {\"image_size\": 4096, \"patch_size\": 1}}"),
    ] {
      try expectRefusal(name, "config.json", Array(json.utf8), "config.json")
    }
  }
}
