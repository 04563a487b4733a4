// What streaming costs in time: from measured rates of disk, decoder and memory, the seconds of a pass.

import Kernels
import WeightFiles

/// Measured rates and what they make of a residency plan.
public struct StreamForecast: Sendable, Equatable {
  /// Rates of reading and decoding the file.
  public var rates: StreamRates
  /// Bytes of weights that the kernels read per second.
  public var memoryBytesPerSecond: Double
  /// Whether the streamed bytes stay in the system's page cache from pass to pass.
  public var fitsPageCache: Bool

  /// A forecast from measured rates.
  public init(rates: StreamRates, memoryBytesPerSecond: Double, fitsPageCache: Bool) {
    self.rates = rates
    self.memoryBytesPerSecond = memoryBytesPerSecond
    self.fitsPageCache = fitsPageCache
  }

  /// Share of the memory's rate that a pass over one token reaches.
  private static let kernelShare = 0.88

  /// Seconds of a pass that decodes one token of one sequence.
  ///
  /// The disk works while blocks are decoded; decoding and computing share the processors.
  public func secondsPerPass(_ plan: ResidencyPlan) -> Double {
    let text = plan.pinned.filter { !$0.section.isOfImages && $0.section != .embedding }
    let read = text.reduce(0) { $0 + $1.bytes } + plan.bytesPerPass
    let compute = Double(read) / (memoryBytesPerSecond * Self.kernelShare)
    return seconds(decoding: plan.bytesPerPass, of: plan.storedBytesPerPass, beside: compute)
  }

  /// Seconds that reading weights adds to an image, beyond what computing hides.
  public func secondsPerImage(_ plan: ResidencyPlan) -> Double {
    seconds(decoding: plan.bytesPerImage, of: plan.storedBytesPerImage, beside: 0)
  }

  private func seconds(decoding bytes: Int, of stored: Int, beside compute: Double) -> Double {
    let decode = Double(bytes) / rates.decodedBytesPerSecond + compute
    guard !fitsPageCache, let disk = rates.diskBytesPerSecond else { return decode }
    return max(decode, Double(stored) / disk)
  }
}

extension StreamForecast {
  /// Measures this machine: a sample of the file's blocks, and the rate at which kernels read memory.
  ///
  /// `bytes` of its free memory are still going to be taken, and are no room for the page cache.
  public init(
    measuring file: IdfxFile,
    plan: ResidencyPlan,
    on compute: ComputeContext,
    reserving bytes: Int = 0
  ) throws {
    let threads = FileWeights.decodingThreads(of: compute.threads)
    let rates = try StreamRates(measuring: file, threads: threads)
    let probe = MachineProbe(context: compute, bytes: 64 << 20)
    let memory = (0..<5).map { _ in probe.readBytesPerSecond() }.sorted()[2]
    let free = SystemMemory.availableBytes.map { $0 - bytes }
    self.init(
      rates: rates,
      memoryBytesPerSecond: memory,
      fitsPageCache: free.map { $0 > plan.storedBytesPerPass } ?? false
    )
  }
}
