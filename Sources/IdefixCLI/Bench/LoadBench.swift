// How fast a model file becomes a model that is ready to decode, beside what the disk gives, all of the file being read
// between the runs and nothing done with it, and what the decoder could do, measured on a sample. Disks of shared
// machines are faster at one time than at another: each run is judged by what was measured just before and after it.
//
// Memory is a third limit, which is not the program's: a virtual machine may return what is free to its host, and get it
// back more slowly than a disk reads. So before every run more than it needs is taken and freed, and the run finds memory
// that the system has; one more run tells what is without.

import Foundation
import IdeficsModel
import Idefix
import Kernels
import WeightFiles

/// What `bench --load` prints.
struct LoadBench: Encodable {
  /// One load of the file, none of which is in the page cache.
  struct Run: Encodable {
    /// From opening the file to an engine that takes requests.
    let seconds: Double
    /// Of weights in the file.
    let storedBytesPerSecond: Double
    /// Of weights in memory.
    let bytesPerSecond: Double
    /// Of memory, as the system handed it out before.
    let obtainedBytesPerSecond: Double
    /// Share of the lower limit, that of disk or decoder, 0…1.
    let share: Double
  }

  /// The limits at one moment.
  private struct Limits {
    /// `nil` where the file system does not read past the page cache.
    let diskBytesPerSecond: Double?
    let decodedBytesPerSecond: Double

    /// Seconds that the disk, or else the decoder, would need for all of `weights`.
    func seconds(for weights: TensorPlacement) -> Double {
      max(
        diskBytesPerSecond.map { Double(weights.storedByteCount) / $0 } ?? 0,
        Double(weights.byteCount) / decodedBytesPerSecond
      )
    }
  }

  let model: String
  /// Bytes of the file that loading read.
  let storedBytes: Int
  /// Bytes of weights in memory.
  let bytes: Int
  let runs: [Run]
  /// Of a load for which no memory was obtained before.
  let unpreparedSeconds: Double
  /// Median of reading the file before, between and after the runs; `nil` where the file system does not read past
  /// the page cache.
  let diskBytesPerSecond: Double?
  /// Median of decoding a sample, before, between and after the runs.
  let decodedBytesPerSecond: Double
  /// Median of the runs' shares of the lower limit, 0…1.
  let share: Double

  /// Loads the model at `path` `repeats` times, as `options` say.
  init(_ path: String, options: EngineOptions, repeats: Int) async throws {
    let threads = options.threads ?? Processors.recommendedThreads
    let file = try IdfxFile.open(path)
    let loaded = try Self.loadedTensors(of: file)
    guard !loaded.isEmpty else {
      throw CommandFailure(.usage, "\(path): its weights are used in place, so nothing is loaded.")
    }
    let weights = TensorPlacement(loaded)
    func measureLimits() throws -> Limits {
      Limits(
        diskBytesPerSecond: try StreamRates.wholeDiskBytesPerSecond(
          loaded,
          of: file,
          threads: threads
        ),
        decodedBytesPerSecond: try StreamRates.decodedBytesPerSecond(
          loaded,
          of: file,
          threads: threads
        )
      )
    }
    var before = try measureLimits()
    var limits = [before]
    var runs: [Run] = []
    for _ in 0..<repeats {
      let obtained = try WeightArena.obtainedBytesPerSecond(
        weights.byteCount / 4 * 5,
        threads: threads
      )
      let seconds = try await Self.load(file, options)
      let after = try measureLimits()
      let least = (before.seconds(for: weights) + after.seconds(for: weights)) / 2
      runs.append(
        Run(
          seconds: seconds,
          storedBytesPerSecond: Double(weights.storedByteCount) / seconds,
          bytesPerSecond: Double(weights.byteCount) / seconds,
          obtainedBytesPerSecond: obtained,
          share: least / seconds
        )
      )
      limits.append(after)
      before = after
    }
    unpreparedSeconds = try await Self.load(file, options)

    model = path
    storedBytes = weights.storedByteCount
    bytes = weights.byteCount
    self.runs = runs
    diskBytesPerSecond = limits.compactMap(\.diskBytesPerSecond).median
    decodedBytesPerSecond = limits.map(\.decodedBytesPerSecond).median ?? 0
    share = runs.map(\.share).median ?? 0
  }

  /// The tensors of `file` that an engine without a budget loads.
  private static func loadedTensors(of file: IdfxFile) throws -> [IdfxTensor] {
    let configuration = try file.modelConfiguration()
    let plan = ResidencyPlan(
      withoutBudget: SectionInventory(configuration: configuration, file: file)
    )
    return FileWeights.loadedTensors(of: file, configuration: configuration, plan: plan)
  }

  /// Seconds from opening `file`, none of which is in the page cache, to an engine that takes requests.
  private static func load(_ file: IdfxFile, _ options: EngineOptions) async throws -> Double {
    file.leavePageCache()
    let start = ContinuousClock.now
    let engine = try await Engine.load(from: file.path, options: options)
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    await engine.shutDown()
    return seconds
  }

  /// The same for a person.
  var text: String {
    func rate(_ value: Double) -> String { "\(ByteCount(Int(value)))/s" }
    func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }
    func seconds(_ value: Double) -> String { String(format: "%.2f s", value) }
    var lines = runs.map { run in
      "ready in \(seconds(run.seconds)): \(rate(run.storedBytesPerSecond)) of the file, "
        + "\(percent(run.share)) of the lower limit"
    }
    let obtained = runs.map(\.obtainedBytesPerSecond).median ?? 0
    lines.append(
      "in \(seconds(unpreparedSeconds)) when memory comes from the system, which gives \(rate(obtained))"
    )
    lines.append("\(ByteCount(storedBytes)) of the file, \(ByteCount(bytes)) of weights")
    lines.append(
      (diskBytesPerSecond.map { "disk \(rate($0))" } ?? "disk not measured")
        + ", decoder \(rate(decodedBytesPerSecond)) of weights"
    )
    lines.append("\(percent(share)) of the lower limit")
    return lines.joined(separator: "\n") + "\n"
  }
}
