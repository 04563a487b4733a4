// How fast a model file becomes a model that is ready to decode, beside what the disk gives and what the
// decoder could do: both are measured on a sample of the same file before and after, and the better rates count.

import Foundation
import Idefix
import WeightFiles

/// What `bench --load` prints.
struct LoadBench: Encodable {
  let model: String
  /// Bytes of the file that loading read.
  let storedBytes: Int
  /// Bytes of weights in memory.
  let bytes: Int
  /// From opening the file to an engine that takes requests.
  let seconds: Double
  let storedBytesPerSecond: Double
  let bytesPerSecond: Double
  /// `nil` where the file system does not read past the page cache.
  let diskBytesPerSecond: Double?
  let decodedBytesPerSecond: Double
  /// Share of the lower limit that was reached, 0…1.
  let share: Double
  let peakRssBytes: Int

  /// Loads the model at `path` once, with none of it in the page cache.
  init(_ path: String, threads: Int) async throws {
    let file = try IdfxFile.open(path)
    var rates = [try StreamRates(measuring: file.tensors, of: file, threads: threads)]
    file.leavePageCache()
    var options = EngineOptions()
    options.threads = threads
    let start = ContinuousClock.now
    let engine = try await Engine.load(from: path, options: options)
    seconds = (ContinuousClock.now - start) / .seconds(1)
    peakRssBytes = ProcessMemory.peakResidentBytes
    let residency = engine.residency
    await engine.shutDown()
    rates.append(try StreamRates(measuring: file.tensors, of: file, threads: threads))

    model = path
    storedBytes = residency.loadedBytes
    bytes = residency.pinnedBytes
    storedBytesPerSecond = Double(storedBytes) / seconds
    bytesPerSecond = Double(bytes) / seconds
    let disk = rates.compactMap(\.diskBytesPerSecond).max()
    let decoder = rates.map(\.decodedBytesPerSecond).max() ?? 0
    diskBytesPerSecond = disk
    decodedBytesPerSecond = decoder
    // The lower limit is the one that more of was reached.
    let read = storedBytesPerSecond
    share = max(disk.map { read / $0 } ?? 0, bytesPerSecond / decoder)
  }

  /// The same for a person.
  var text: String {
    func rate(_ value: Double) -> String { "\(ByteCount(Int(value)))/s" }
    let disk = diskBytesPerSecond.map { "of the disk's \(rate($0))" } ?? "(disk not measured)"
    return """
      ready in \(String(format: "%.2f", seconds)) s: \(ByteCount(storedBytes)) read, \
      \(rate(storedBytesPerSecond)) \(disk)
      \(ByteCount(bytes)) of weights, \(rate(bytesPerSecond)) of the decoder's \
      \(rate(decodedBytesPerSecond))
      \(Int((share * 100).rounded())) % of the lower limit; \
      peak memory \(ByteCount(peakRssBytes))

      """
  }
}
