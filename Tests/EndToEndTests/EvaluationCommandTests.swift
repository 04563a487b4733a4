import Foundation
import TestSupport
import Testing

/// `idefix eval` and `idefix batch` with the built binary.
@Suite struct EvaluationCommandTests {
  /// The micro checkpoint converted, and four rows about an image.
  private struct Bench {
    let folder: TemporaryFolder
    var model: String { folder("model.idfx") }
    var rows: String { folder("rows.jsonl") }

    init() throws {
      folder = try TemporaryFolder()
      let convert = ["convert", CommandLineTests.checkpoint, "-o", folder("model.idfx")]
      #expect(try IdefixProcess.run(convert + ["--recipe", "f32"]).status == 0)
      let image = Fixture.url("images/rgba.png").path
      let lines = (0..<4).map {
        """
        {"id": "\($0)", "task": "t\($0 % 2)", "prompt": [{"image": "\(image)"}, {"text": "What, \($0)?"}], \
        "answers": ["a dog"], "choices": ["a cat", "a dog"]}
        """
      }
      try lines.joined(separator: "\n").write(toFile: rows, atomically: true, encoding: .utf8)
    }
  }

  @Test(arguments: [
    ("exact", "exact_match"), ("vqa", "vqa_accuracy"), ("caption", "cider_d"),
    ("choice", "accuracy"),
  ])
  func reportsAMetricWithItsInterval(evaluation: String, metric: String) throws {
    let bench = try Bench()
    let summary = bench.folder("summary.json")
    let arguments = [
      "eval", evaluation, bench.model, "--data", bench.rows, "--output", summary, "--json",
      "--group-by", "task", "--quiet",
    ]
    let run = try IdefixProcess.run(arguments)
    #expect(run.status == 0 && run.errors.isEmpty, "\(run.errors)")
    let report = try run.json()
    #expect(report["evaluation"] as? String == evaluation && report["items"] as? Int == 4)
    let value = (report["metrics"] as? [String: Any])?[metric] as? [String: Double]
    #expect(value?.keys.sorted() == ["high", "low", "value"])
    #expect((report["groups"] as? [String: [String: Any]])?["task"]?.keys.sorted() == ["t0", "t1"])
    #expect((report["model"] as? [String: String])?["recipe"] == "f32")
    #expect(try String(contentsOfFile: summary, encoding: .utf8) == run.output)
    // Everything is there already: the second run only reads it.
    let results = try Data(contentsOf: URL(filePath: bench.folder("summary.results.jsonl")))
    #expect(try IdefixProcess.run(arguments).output == run.output)
    let again = try Data(contentsOf: URL(filePath: bench.folder("summary.results.jsonl")))
    #expect(results == again)
  }

  @Test func measuresTextAndDivergence() throws {
    let bench = try Bench()
    let text = bench.folder("text.txt")
    try String(repeating: "a dog sees a cat. ", count: 20).write(
      toFile: text,
      atomically: true,
      encoding: .utf8
    )
    let perplexity = try IdefixProcess.run([
      "eval", "perplexity", bench.model, text, "--window", "32", "--cut", "rolling", "--json",
    ])
    #expect(perplexity.status == 0, "\(perplexity.errors)")
    let metrics = try perplexity.json()["metrics"] as? [String: Any]
    #expect(metrics?["byte_perplexity"] != nil && metrics?["word_perplexity"] != nil)

    let reference = bench.folder("reference")
    for words in [[text, "--window", "32"], ["--data", bench.rows]] {
      let save = try IdefixProcess.run(
        ["eval", "divergence", bench.model, "--save-reference", reference] + words
      )
      #expect(save.status == 0, "\(save.errors)")
      let compare = try IdefixProcess.run(
        ["eval", "divergence", bench.model, "--reference", reference, "--json"] + words
      )
      let metrics = try compare.json()["metrics"] as? [String: Any]
      #expect((metrics?["mean_kl"] as? [String: Double])?["value"] == 0, "\(compare.errors)")
    }
  }

  @Test func answersABatch() throws {
    let bench = try Bench()
    let output = bench.folder("out.jsonl")
    let arguments = [
      "batch", bench.model, "--input", bench.rows, "--output", output, "--max-tokens", "4",
    ]
    let run = try IdefixProcess.run(arguments)
    #expect(run.status == 0, "\(run.errors)")
    let lines = try String(contentsOfFile: output, encoding: .utf8).split(separator: "\n")
    #expect(lines.count == 4)
    #expect(try IdefixProcess.run(arguments).status == 64)
    #expect(try IdefixProcess.run(arguments + ["--resume"]).status == 0)
  }

  @Test func namesTheRowOfABadDataSet() throws {
    let bench = try Bench()
    let bad = bench.folder("bad.jsonl")
    try "{\"prompt\": [{\"image\": \"gone.png\"}], \"answers\": [\"x\"]}\n".write(
      toFile: bad,
      atomically: true,
      encoding: .utf8
    )
    let gone = try IdefixProcess.run(["eval", "exact", bench.model, "--data", bad])
    #expect(
      gone.status == 65 && gone.errors.contains("bad.jsonl, line 1, item 1: There is no file")
    )
    try "{\n".write(toFile: bad, atomically: true, encoding: .utf8)
    let broken = try IdefixProcess.run(["eval", "exact", bench.model, "--data", bad])
    #expect(broken.status == 65 && broken.errors.contains("line 1: it is not valid JSON"))
    let missing = try IdefixProcess.run(["eval", "exact", bench.model, "--data", bad + "x.jsonl"])
    #expect(missing.status == 66)
    let unknown = try IdefixProcess.run(["eval", "exact", bench.model, "--data", "rows.xml"])
    #expect(unknown.status == 64)
  }
}
