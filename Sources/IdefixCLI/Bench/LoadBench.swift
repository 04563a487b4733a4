// How fast a model file becomes a model that is ready to decode, beside what the disk gives, all of the file being read
// between the runs and nothing done with it, and what the decoder could do, measured on a sample.
//
// Memory is a third limit, which is not the program's: a virtual machine may return what is free to its host, and get it
// back more slowly than a disk reads. So runs find memory that the system has, and one more tells what is without.

import Foundation
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
  }

  let model: String
  /// Bytes of the file that loading read.
  let storedBytes: Int
  /// Bytes of weights in memory.
  let bytes: Int
  let runs: [Run]
  /// Of a load that gets its memory from the system.
  let secondsWithoutReserve: Double
  /// Median of reading the file before, between and after the runs; `nil` where the file system does not read past
  /// the page cache.
  let diskBytesPerSecond: Double?
  /// Median of decoding a sample, before, between and after the runs.
  let decodedBytesPerSecond: Double
  /// The lower limit: disk or decoder.
  let limit: String
  /// Share of it that the median run reached, 0…1.
  let share: Double

  /// Loads the model at `path` `repeats` times, as `options` say.
  init(_ path: String, options: EngineOptions, repeats: Int) async throws {
    let threads = options.threads ?? Processors.recommendedThreads
    let file = try IdfxFile.open(path)
    let loaded = file.tensors.filter { !file.isInPlace($0) }
    guard !loaded.isEmpty else {
      throw CommandFailure(.usage, "\(path): its weights are used in place, so nothing is loaded.")
    }
    let weights = TensorPlacement(loaded)
    var disks: [Double?] = []
    var decoders: [Double] = []
    func measureLimits() throws {
      decoders.append(
        try StreamRates.decodedBytesPerSecond(loaded, of: file, threads: threads)
      )
      disks.append(try StreamRates.wholeDiskBytesPerSecond(loaded, of: file, threads: threads))
    }
    try measureLimits()
    var runs: [Run] = []
    for _ in 0..<repeats {
      let reserve = try MemoryReserve(byteCount: weights.byteCount, threads: threads)
      reserve.start()
      defer { reserve.stop() }
      let seconds = try await Self.load(file, options)
      runs.append(
        Run(
          seconds: seconds,
          storedBytesPerSecond: Double(weights.storedByteCount) / seconds,
          bytesPerSecond: Double(weights.byteCount) / seconds,
          obtainedBytesPerSecond: reserve.obtainedBytesPerSecond
        )
      )
      try measureLimits()
    }
    secondsWithoutReserve = try await Self.load(file, options)

    model = path
    storedBytes = weights.storedByteCount
    bytes = weights.byteCount
    self.runs = runs
    let disk = disks.compactMap(\.self).median
    let decoder = decoders.median ?? 0
    diskBytesPerSecond = disk
    decodedBytesPerSecond = decoder
    let seconds = runs.map(\.seconds).median ?? .infinity
    // The lower limit is the one that would take longer.
    let reading = disk.map { Double(weights.storedByteCount) / $0 } ?? 0
    let decoding = Double(weights.byteCount) / decoder
    limit = reading > decoding ? "disk" : "decoder"
    share = max(reading, decoding) / seconds
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
    func seconds(_ value: Double) -> String { String(format: "%.2f s", value) }
    var lines = runs.map { run in
      "ready in \(seconds(run.seconds)): \(rate(run.storedBytesPerSecond)) of the file"
    }
    let obtained = runs.map(\.obtainedBytesPerSecond).median ?? 0
    lines.append(
      "in \(seconds(secondsWithoutReserve)) with memory from the system, which gives \(rate(obtained))"
    )
    lines.append("\(ByteCount(storedBytes)) of the file, \(ByteCount(bytes)) of weights")
    lines.append(
      (diskBytesPerSecond.map { "disk \(rate($0))" } ?? "disk not measured")
        + ", decoder \(rate(decodedBytesPerSecond)) of weights"
    )
    lines.append("\(Int((share * 100).rounded())) % of the lower limit, the \(limit)")
    return lines.joined(separator: "\n") + "\n"
  }
}
