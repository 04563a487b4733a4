import Foundation
import TestSupport
import Testing

/// `idefix bench --load`: what it says it read is in the file, and what is used in place is not loaded.
@Suite struct LoadBenchTests {
  @Test func tellsWhatLoadingTakes() throws {
    let folder = try TemporaryFolder()
    let source = Fixture.url("models/micro-sharded").path
    let model = folder("zstd.idfx")
    #expect(try IdefixProcess.run(["convert", source, "-o", model, "--quiet"]).status == 0)
    let run = try IdefixProcess.run(["bench", model, "--load", "--repeat", "2", "--json"])
    #expect(run.status == 0, "\(run.errors)")
    let report = try run.json()
    let stored = try #require(report["stored_bytes"] as? Int)
    #expect(try (1..<folder.read("zstd.idfx").count).contains(stored))
    #expect((report["runs"] as? [Any])?.count == 2)
    for rate in ["share", "decoded_bytes_per_second", "unprepared_seconds"] {
      #expect((report[rate] as? Double ?? 0) > 0, "\(rate)")
    }
  }

  @Test func loadsNothingThatIsUsedInPlace() throws {
    let folder = try TemporaryFolder()
    let source = Fixture.url("models/micro-sharded").path
    let model = folder("raw.idfx")
    let converted = try IdefixProcess.run([
      "convert", source, "-o", model, "--codec", "raw", "--quiet",
    ])
    #expect(converted.status == 0)
    let run = try IdefixProcess.run(["bench", model, "--load"])
    #expect(run.status == 64)
    #expect(run.errors.contains("in place"), "\(run.errors)")
  }
}
