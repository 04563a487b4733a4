// What streaming costs in time: from measured rates of disk, decoder and products, the seconds of a pass.

import Kernels
import Tensors
import WeightFiles

/// Measured rates and what they make of a residency plan.
public struct StreamForecast: Sendable, Equatable {
  /// Rates of reading and decoding what a pass over text streams.
  public var rates: StreamRates
  /// The same for an image.
  public var imageRates: StreamRates
  /// Bytes of weights that products of one token read per second when nothing else runs.
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

  /// Share of the products' rate that a pass over one token reaches beside a stream: its threads wait for each other
  /// after every product, and the decoder's threads take turns with them.
  private static let kernelShare = 0.75
  /// How long products are computed to measure them, and with how many bytes of weights: several times what caches hold.
  private static let probingTime = Duration.milliseconds(100)
  private static let probedBytes = 384 << 20

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
  /// Measures this machine by a sample of the blocks that are streamed, and by the products of some layers.
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
    var probed: [IdfxTensor] = []
    var probedBytes = 0
    // The load has not begun: half of what it will take is free for a moment.
    for layer in 0..<configuration.layers where probedBytes < min(Self.probedBytes, bytes / 2) {
      let own = (matrices[.decoderLayer(layer)] ?? []).compactMap { file.tensor(named: $0.name) }
      probed += own
      probedBytes += own.flatMap(\.extents).reduce(0) { $0 + $1.byteCount }
    }
    let free = SystemMemory.availableBytes.map { $0 - bytes }
    self.init(
      rates: try rates(plan.textStream),
      imageRates: try rates(plan.imageStream),
      memoryBytesPerSecond: try Self.productRate(of: probed, in: file, on: compute),
      fitsPageCache: free.map { $0 > plan.storedBytesPerPass } ?? false
    )
  }

  /// Bytes of `tensors` per second that products of one token read.
  ///
  /// The products themselves tell: memory that is only read may come out of caches, or faster than weights are decoded.
  private static func productRate(
    of tensors: [IdfxTensor],
    in file: IdfxFile,
    on compute: ComputeContext
  ) throws -> Double {
    let loaded = try LoadedTensors(tensors, of: file, threads: compute.threads)
    let matrices = tensors.compactMap { loaded.packed($0.name) }
    let bytes = Double(matrices.reduce(0) { $0 + $1.byteCount })
    func pass() {
      for matrix in matrices {
        let x = Matrix(rows: 1, columns: matrix.columns)
        var y = Matrix(rows: 1, columns: matrix.rows)
        compute.linear(x, matrix, into: &y)
      }
    }
    // The first pass obtains scratch.
    pass()
    var rates: [Double] = []
    let end = ContinuousClock.now + probingTime
    while rates.count < 5 || .now < end {
      let start = ContinuousClock.now
      pass()
      rates.append(bytes / max((ContinuousClock.now - start) / .seconds(1), 1e-9))
    }
    return rates.median ?? 0
  }
}
