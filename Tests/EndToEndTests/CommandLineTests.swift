import Foundation
import TestSupport
import Testing

/// The whole way, with the built binary: a checkpoint folder in, an answer about a picture out.
@Suite struct CommandLineTests {
  static let checkpoint = Fixture.url("models/micro").path

  /// A converted checkpoint; the file goes away with the value.
  private struct Converted {
    let folder: TemporaryFolder
    var path: String { folder("model.idfx") }

    init(_ recipe: String, from source: String = checkpoint) throws {
      folder = try TemporaryFolder()
      let run = try IdefixProcess.run([
        "convert", source, "-o", folder("model.idfx"), "--recipe", recipe,
      ])
      #expect(run.status == 0, "\(run.errors)")
    }
  }

  /// A reference case as raw messages for `--messages`.
  private func messages(_ name: String, in folder: TemporaryFolder) throws -> (String, [Int]) {
    let data = try Data(contentsOf: Fixture.url("cases/micro/\(name).json"))
    let json = try JSONSerialization.jsonObject(with: data) as? [String: Any]
    let items = (json?["prompts"] as? [[[String: String]]])?[0] ?? []
    let prompt = items.map { item in
      item["image"].map { ["image": Fixture.url("images/\($0)").path] } ?? item
    }
    let path = folder("\(name).json")
    try JSONSerialization.data(withJSONObject: ["prompt": prompt]).write(to: URL(filePath: path))
    let generation = json?["generation"] as? [String: Any]
    let ids = (generation?["generated_ids"] as? [[Int]])?[0] ?? []
    return (path, ids)
  }

  @Test(arguments: ["one_image", "text_only", "text_before_image", "three_images_few_shot"])
  func aConvertedCheckpointAnswersLikeTheReference(name: String) throws {
    let model = try Converted("f32")
    let (path, expected) = try messages(name, in: model.folder)
    let run = try IdefixProcess.run([
      "run", model.path, "--messages", path, "--max-tokens", "16", "--json", "--kv", "f32",
      "--logprobs", "0",
    ])
    #expect(run.status == 0, "\(run.errors)")
    let report = try run.json()
    #expect(report["tokens"] as? [Int] == expected)
    #expect(report["finish_reason"] as? String == "length")
    #expect((report["logprobs"] as? [Any])?.count == 16)
    let timings = try #require(report["timings"] as? [String: Double])
    let phases = [
      "decode_image_ms", "queue_ms", "vision_ms", "resampler_ms", "cross_kv_ms", "prefill_ms",
      "decode_ms",
    ].map { timings[$0] ?? .nan }
    #expect(abs(phases.reduce(0, +) - (timings["total_ms"] ?? 0)) < 0.01)
  }

  @Test(arguments: ["bf16", "q8", "q4"])
  func everyRecipeConvertsAndAnswers(recipe: String) throws {
    let model = try Converted(recipe)
    let image = Fixture.url("images/rgba.png").path
    let run = try IdefixProcess.run([
      "run", model.path, "--image", image, "What is this?", "--max-tokens", "8",
    ])
    #expect(run.status == 0, "\(run.errors)")
    #expect(!run.output.isEmpty)
    let inspected = try IdefixProcess.run(["inspect", model.path, "--json"])
    #expect(inspected.status == 0, "\(inspected.errors)")
  }

  @Test func shardsConvertToTheSameAnswer() throws {
    let model = try Converted("q4")
    let sharded = try Converted("q4", from: Fixture.url("models/micro-sharded").path)
    let (path, _) = try messages("one_image", in: model.folder)
    let runs = try [model, sharded].map {
      try IdefixProcess.run(["score", $0.path, "--messages", path, "--json"])
    }
    #expect(runs[0].status == 0, "\(runs[0].errors)")
    #expect(runs[0].output == runs[1].output)
  }

  @Test func scoreReportsEveryPromptToken() throws {
    let model = try Converted("f32")
    let (path, _) = try messages("one_image", in: model.folder)
    let run = try IdefixProcess.run([
      "score", model.path, "--messages", path, "--top", "3", "--json",
    ])
    #expect(run.status == 0, "\(run.errors)")
    let tokens = try #require(try run.json()["tokens"] as? [[String: Any]])
    #expect(tokens.count == 29)
    #expect(tokens[0]["logprob"] is NSNull)
    #expect(tokens.dropFirst().allSatisfy { ($0["logprob"] as? Double ?? 1) <= 0 })
    #expect(tokens.dropFirst().allSatisfy { ($0["top"] as? [Any])?.count == 3 })
  }

  @Test func wrongUseAndMissingInputsHaveTheirExitCodes() throws {
    #expect(try IdefixProcess.run(["frobnicate"]).status == 64)
    #expect(try IdefixProcess.run(["run", "--threads", "0", "x"]).status == 64)
    let missing = try IdefixProcess.run(["run", "no-such.idfx", "hello"])
    #expect(missing.status == 66)
    #expect(missing.errors.contains("no-such.idfx"))
    let folder = try TemporaryFolder()
    let source = try IdefixProcess.run(["convert", "no-such-folder", "-o", folder("a.idfx")])
    #expect(source.status == 66)
  }
}
