import Foundation
import TestSupport
import Testing

/// Damaged inputs: exit code 65, and one sentence that names the file and the reason.
@Suite struct DamagedInputTests {
  private static let files = FileManager.default

  /// A copy of the fixture checkpoint that `damage` has changed.
  private func checkpoint(
    from name: String = "micro",
    _ damage: (URL) throws -> Void
  ) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let copy = URL(filePath: folder("checkpoint"))
    try Self.files.copyItem(at: Fixture.url("models/\(name)"), to: copy)
    try damage(copy)
    return folder
  }

  private func expectRefusal(
    of folder: TemporaryFolder,
    naming file: String,
    reason: String
  ) throws {
    let output = folder("out.idfx")
    let run = try IdefixProcess.run([
      "convert", folder("checkpoint"), "-o", output, "--recipe", "q4", "--quiet",
    ])
    #expect(run.status == 65, "\(run.errors)")
    #expect(run.errors.contains(file), "\(run.errors)")
    #expect(run.errors.contains(reason), "\(run.errors)")
    #expect(run.errors.split(separator: "\n").count == 1, "\(run.errors)")
    #expect(!Self.files.fileExists(atPath: output))
  }

  /// Rewrites the JSON header of a safetensors file, keeping its data.
  private func editHeader(of file: URL, _ edit: (String) -> String) throws {
    let bytes = try Data(contentsOf: file)
    let length = bytes.prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    let header = edit(String(decoding: bytes[8..<(8 + length)], as: UTF8.self))
    var size = UInt64(header.utf8.count).littleEndian
    var result = withUnsafeBytes(of: &size) { Data($0) }
    result.append(Data(header.utf8))
    result.append(bytes[(8 + length)...])
    try result.write(to: file)
  }

  @Test func truncatedShard() throws {
    let name = "model-00002-of-00005.safetensors"
    let folder = try checkpoint(from: "micro-sharded") { folder in
      let shard = folder.appending(path: name)
      let bytes = try Data(contentsOf: shard)
      try bytes.dropLast(100).write(to: shard)
    }
    try expectRefusal(of: folder, naming: name, reason: "truncated")
  }

  @Test func wrongShape() throws {
    let folder = try checkpoint { folder in
      try editHeader(of: folder.appending(path: "model.safetensors")) {
        $0.replacingOccurrences(
          of: "\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[64]",
          with: "\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[8,8]"
        )
      }
    }
    try expectRefusal(of: folder, naming: "checkpoint", reason: "model.norm.weight")
  }

  @Test func missingTensor() throws {
    let folder = try checkpoint { folder in
      try editHeader(of: folder.appending(path: "model.safetensors")) {
        $0.replacingOccurrences(of: "\"model.norm.weight\"", with: "\"model.norm.wrong\"")
      }
    }
    try expectRefusal(of: folder, naming: "checkpoint", reason: "model.norm.weight")
  }

  @Test func unknownElementType() throws {
    let folder = try checkpoint { folder in
      try editHeader(of: folder.appending(path: "model.safetensors")) {
        $0.replacingOccurrences(
          of: "\"model.norm.weight\":{\"dtype\":\"F32\"",
          with: "\"model.norm.weight\":{\"dtype\":\"F99\""
        )
      }
    }
    try expectRefusal(of: folder, naming: "model.safetensors", reason: "F99")
  }

  @Test func duplicateKey() throws {
    let folder = try checkpoint { folder in
      try editHeader(of: folder.appending(path: "model.safetensors")) {
        $0.replacingOccurrences(
          of: "\"model.norm.weight\"",
          with: "\"lm_head.weight\""
        )
      }
    }
    try expectRefusal(of: folder, naming: "model.safetensors", reason: "lm_head.weight")
  }

  @Test func textNamedSafetensors() throws {
    let folder = try checkpoint { folder in
      try Data("Git LFS pointer, not weights\n".utf8).write(
        to: folder.appending(path: "model.safetensors")
      )
    }
    try expectRefusal(of: folder, naming: "model.safetensors", reason: "safetensors")
  }

  @Test func brokenConfiguration() throws {
    let folder = try checkpoint { folder in
      try Data("{\"hidden_size\": ".utf8).write(to: folder.appending(path: "config.json"))
    }
    try expectRefusal(of: folder, naming: "config.json", reason: "JSON")
  }

  @Test func brokenPicture() throws {
    let folder = try TemporaryFolder()
    let model = folder("model.idfx")
    let made = try IdefixProcess.run(["convert", Fixture.url("models/micro").path, "-o", model])
    #expect(made.status == 0, "\(made.errors)")
    let image = folder("broken.jpg")
    let whole = try Data(contentsOf: Fixture.url("images/photo_q75_420.jpg"))
    try whole.prefix(300).write(to: URL(filePath: image))
    let run = try IdefixProcess.run(["run", model, "--image", image, "What is this?", "--quiet"])
    #expect(run.status == 65, "\(run.errors)")
    #expect(run.errors.contains("broken.jpg"), "\(run.errors)")
    #expect(run.errors.split(separator: "\n").count == 1, "\(run.errors)")
  }

  @Test func aTextFileNamedIdfx() throws {
    let folder = try TemporaryFolder()
    let path = folder("text.idfx")
    try Data(String(repeating: "not a model\n", count: 100).utf8).write(to: URL(filePath: path))
    let run = try IdefixProcess.run(["run", path, "hello"])
    #expect(run.status == 65, "\(run.errors)")
    #expect(run.errors.contains("text.idfx"), "\(run.errors)")
  }
}
