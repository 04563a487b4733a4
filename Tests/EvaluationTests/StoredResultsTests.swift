import Evaluation
import Foundation
import Testing

@Suite struct StoredResultsTests {
  private static let header = RunHeader(
    evaluation: "exact",
    model: "abc",
    settings: ["data": "x.jsonl"]
  )

  // MARK: results

  @Test func goesOnAfterAnyInterruption() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/r.jsonl"
    let log = try ResultsLog<Double>(path: path, header: Self.header, startsAnew: false)
    for (id, value) in [("a", 0.5), ("b", -Double.infinity), ("c", 2)] {
      try log.append(value, id: id)
    }
    let whole = try folder.read("r.jsonl")
    let lines = whole.split(separator: UInt8(ascii: "\n")).map { $0.count + 1 }
    for count in 0...whole.count {
      _ = try folder.write("r.jsonl", Array(whole[..<count]))
      let again = try ResultsLog<Double>(path: path, header: Self.header, startsAnew: false)
      let complete = (0...3).last { lines[...$0].reduce(0, +) <= count } ?? 0
      #expect(again.records.count == complete, "\(count) bytes")
      for (id, value) in [("a", 0.5), ("b", -Double.infinity), ("c", 2)] where !again.contains(id) {
        try again.append(value, id: id)
      }
      #expect(try folder.read("r.jsonl") == whole, "\(count) bytes")
    }
  }

  @Test func refusesResultsOfSomethingElse() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/r.jsonl"
    _ = try ResultsLog<Double>(path: path, header: Self.header, startsAnew: false)
    var others = [Self.header, Self.header, Self.header]
    others[0].model = "abd"
    others[1].evaluation = "vqa"
    others[2].settings["data"] = "y.jsonl"
    for (other, reason) in zip(others, ["another model", "results of exact", "another data"]) {
      let error = #expect(throws: EvaluationError.self) {
        try ResultsLog<Double>(path: path, header: other, startsAnew: false)
      }
      #expect(error?.description.contains(reason) ?? false)
      #expect(
        try ResultsLog<Double>(path: path, header: Self.header, startsAnew: false).records.isEmpty
      )
    }
    let fresh = try ResultsLog<Double>(path: path, header: others[0], startsAnew: true)
    #expect(fresh.records.isEmpty)
    #expect(throws: EvaluationError.self) {
      try ResultsLog<Double>(path: path, header: Self.header, startsAnew: false)
    }
  }

  // MARK: distributions

  private static let reference = DistributionHeader(
    run: header,
    model: "m",
    recipe: "f32",
    vocabulary: 3
  )

  private static func record(_ seed: Int, places: Int) -> StoredDistributions {
    StoredDistributions(
      tokens: (0..<places).map { Int32(seed + $0) },
      distributions: (0..<places).map { place in
        (0..<3).map { -Float(seed) - Float(place) / 3 - Float($0) }
      }
    )
  }

  @Test func storesDistributionsExactly() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/ref"
    let writer = try DistributionWriter(path: path, header: Self.reference)
    try writer.append(Self.record(1, places: 2), id: "a")
    #expect(!FileManager.default.fileExists(atPath: path))
    try writer.append(Self.record(5, places: 0), id: "é")
    try writer.append(
      StoredDistributions(tokens: [-1], distributions: [[-.infinity, 0, -.leastNonzeroMagnitude]]),
      id: ""
    )
    try writer.finish()
    let file = try DistributionFile(path)
    #expect(file.header == Self.reference && file.ids == ["a", "é", ""])
    #expect(try file.distributions(of: "a") == Self.record(1, places: 2))
    #expect(try file.distributions(of: "é") == Self.record(5, places: 0))
    #expect(
      try file.distributions(of: "")
        == StoredDistributions(
          tokens: [-1],
          distributions: [[-.infinity, 0, -.leastNonzeroMagnitude]]
        )
    )
    #expect(try file.distributions(of: "b") == nil)
  }

  @Test func resumesDistributionsAfterAnyInterruption() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/ref"
    let writer = try DistributionWriter(path: path, header: Self.reference)
    for (index, id) in ["a", "b"].enumerated() {
      try writer.append(Self.record(index, places: 1 + index), id: id)
    }
    let whole = try folder.read("ref.partial")
    for count in 0..<whole.count {
      _ = try folder.write("ref.partial", Array(whole[..<count]))
      let again = try DistributionWriter(path: path, header: Self.reference)
      for (index, id) in ["a", "b"].enumerated() where !again.contains(id) {
        try again.append(Self.record(index, places: 1 + index), id: id)
      }
      #expect(try folder.read("ref.partial").count == whole.count, "\(count) bytes")
      #expect(
        try DistributionFile(path + ".partial").distributions(of: "b") == Self.record(1, places: 2)
      )
    }
  }

  @Test func refusesDistributionsThatLie() throws {
    let folder = try TemporaryFolder()
    let path = folder.path + "/ref"
    let writer = try DistributionWriter(path: path, header: Self.reference)
    try writer.append(Self.record(1, places: 2), id: "a")
    try writer.finish()
    let whole = try folder.read("ref")
    let body = 12 + Int(whole[8]) + Int(whole[9]) << 8
    for (place, value) in [
      (0, 0), (11, 0xff), (9, 0xff), (12, 0x5b), (body + 3, 0xff), (body + 7, 0xff),
    ] {
      var bytes = whole
      bytes[place] = UInt8(value)
      let damaged = try folder.write("damaged", bytes)
      #expect(throws: EvaluationError.self, "byte \(place)") { try DistributionFile(damaged) }
    }
  }
}
