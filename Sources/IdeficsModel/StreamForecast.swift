// What streaming costs in time: from measured rates of disk, decoder and memory, the seconds of a pass.

import Kernels
import WeightFiles

/// Measured rates and what they make of a residency plan.
public struct StreamForecast: Sendable, Equatable {
  /// Rates of reading and decoding what a pass over text streams.
  public var rates: StreamRates
  /// The same for an image.
  public var imageRates: StreamRates
  /// Bytes of weights that the kernels read per second.
  public var memoryBytesPerSecond: Double
  /// Whether the streamed bytes stay in the system's page cache from pass to pass.
  public var fitsPageCache: Bool

  /// A forecast from measured rates.
  public init(
    rates: StreamRates,
    imageRates: StreamRates,
    memoryBytesPerSecond: Double,
    fitsPageCache: Bool
  ) {
    self.rates = rates
    self.imageRates = imageRates
    self.memoryBytesPerSecond = memoryBytesPerSecond
    self.fitsPageCache = fitsPageCache
  }

  /// Share of the memory's rate that a pass over one token reaches beside a stream: alone it is 0.8 to 0.9, but its
  /// threads wait for each other after every product, and the decoder's threads take turns with them.
  private static let kernelShare = 0.55
  /// How long memory is read to measure it.
  private static let probingTime = Duration.milliseconds(100)

  /// Seconds of a pass that decodes one token of one sequence.
  ///
  /// The disk works while blocks are decoded; decoding and computing share the processors.
  public func secondsPerPass(_ plan: ResidencyPlan) -> Double {
    let text = plan.pinned.filter { !$0.section.isOfImages && $0.section != .embedding }
    let read = text.reduce(0) { $0 + $1.bytes } + plan.bytesPerPass
    let compute = Double(read) / (memoryBytesPerSecond * Self.kernelShare)
    return seconds(rates, plan.bytesPerPass, of: plan.storedBytesPerPass, beside: compute)
  }

  /// Seconds that reading weights adds to an image, beyond what computing hides.
  public func secondsPerImage(_ plan: ResidencyPlan) -> Double {
    seconds(imageRates, plan.bytesPerImage, of: plan.storedBytesPerImage, beside: 0)
  }

  /// Seconds of decoding `bytes` from `stored` bytes of the file.
  private func seconds(
    _ rates: StreamRates,
    _ bytes: Int,
    of stored: Int,
    beside compute: Double
  ) -> Double {
    guard bytes > 0 else { return compute }
    let decode = Double(bytes) / rates.decodedBytesPerSecond + compute
    guard !fitsPageCache, let disk = rates.diskBytesPerSecond else { return decode }
    return max(decode, Double(stored) / disk)
  }
}

extension StreamForecast {
  /// Measures this machine by a sample of the blocks that are streamed, and by reading memory.
  ///
  /// Nothing else should use the machine meanwhile, the stream itself least of all.
  /// `bytes` of its free memory are still going to be taken, and are no room for the page cache.
  public init(
    measuring file: IdfxFile,
    configuration: Configuration,
    plan: ResidencyPlan,
    on compute: ComputeContext,
    reserving bytes: Int
  ) throws {
    let matrices = Dictionary(
      WeightSection.all(of: configuration).map { ($0.section, $0.matrices) },
      uniquingKeysWith: +
    )
    func rates(_ parts: [ResidencyPlan.Part]) throws -> StreamRates {
      let names = parts.flatMap { matrices[$0.section] ?? [] }.map(\.name)
      return try StreamRates(
        measuring: names.compactMap { file.tensor(named: $0) },
        of: file,
        threads: FileWeights.decodingThreads(of: compute.threads)
      )
    }
    let probe = MachineProbe(context: compute, bytes: 64 << 20)
    var reads: [Double] = []
    let end = ContinuousClock.now + Self.probingTime
    while reads.count < 5 || .now < end { reads.append(probe.readBytesPerSecond()) }
    let free = SystemMemory.availableBytes.map { $0 - bytes }
    self.init(
      rates: try rates(plan.textStream),
      imageRates: try rates(plan.imageStream),
      memoryBytesPerSecond: reads.median ?? 0,
      fitsPageCache: free.map { $0 > plan.storedBytesPerPass } ?? false
    )
  }
}
