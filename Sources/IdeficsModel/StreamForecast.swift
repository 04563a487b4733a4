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
  /// Bytes of weights per second that a pass over one token gets through while the disk keeps up: those that stay and those
  /// that are decoded, as the plan has them.
  public var passBytesPerSecond: Double
  /// Whether the streamed bytes stay in the system's page cache from pass to pass.
  public var fitsPageCache: Bool

  /// A forecast from measured rates.
  public init(
    rates: StreamRates,
    imageRates: StreamRates,
    passBytesPerSecond: Double,
    fitsPageCache: Bool
  ) {
    self.rates = rates
    self.imageRates = imageRates
    self.passBytesPerSecond = passBytesPerSecond
    self.fitsPageCache = fitsPageCache
  }

  /// Seconds of a pass that decodes one token of one sequence.
  ///
  /// The disk works while blocks are decoded; decoding and computing share the processors.
  public func secondsPerPass(_ plan: ResidencyPlan) -> Double {
    let bytes = plan.pinnedText.reduce(0) { $0 + $1.bytes } + plan.bytesPerPass
    return beside(rates, Double(bytes) / passBytesPerSecond, plan.storedBytesPerPass)
  }

  /// Seconds that reading weights adds to an image, beyond what computing hides.
  public func secondsPerImage(_ plan: ResidencyPlan) -> Double {
    let seconds = Double(plan.bytesPerImage) / imageRates.decodedBytesPerSecond
    return beside(imageRates, seconds, plan.storedBytesPerImage)
  }

  /// What becomes of `seconds` of the processors' work when `stored` bytes come from the disk meanwhile.
  private func beside(_ rates: StreamRates, _ seconds: Double, _ stored: Int) -> Double {
    guard !fitsPageCache, let disk = rates.diskBytesPerSecond else { return seconds }
    return max(seconds, Double(stored) / disk)
  }
}

extension ResidencyPlan {
  /// The sections that stay in memory and that every pass over text computes with.
  fileprivate var pinnedText: [Part] {
    pinned.filter { !$0.section.isOfImages && $0.section != .embedding }
  }
}

extension StreamForecast {
  /// Measures this machine by a sample of the blocks that are streamed, and by a pass over some sections.
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
    func tensors(_ part: ResidencyPlan.Part) -> [IdfxTensor] {
      (matrices[part.section] ?? []).compactMap { file.tensor(named: $0.name) }
    }
    func rates(_ parts: [ResidencyPlan.Part]) throws -> StreamRates {
      try StreamRates(
        measuring: parts.flatMap(tensors),
        of: file,
        threads: FileWeights.decodingThreads(of: compute.threads)
      )
    }
    let free = SystemMemory.availableBytes.map { $0 - bytes }
    // Its memory is given back before anything else is measured.
    let passRate = try SamplePass(plan, of: file, on: compute, tensors).bytesPerSecond()
    self.init(
      rates: try rates(plan.textStream),
      imageRates: try rates(plan.imageStream),
      passBytesPerSecond: passRate,
      fitsPageCache: free.map { $0 > plan.storedBytesPerPass } ?? false
    )
  }
}

/// A pass over a few sections of a plan, streamed ones and others in the plan's proportion: what decoding and products
/// take from each other is measured rather than modelled.
private struct SamplePass {
  /// Sections that are streamed, if the plan has as many: an even number, so that neighbours have different slots at the
  /// turn as well.
  private static let streamed = 4
  /// Bytes of weights that stay: several times what caches hold.
  private static let pinnedBytes = 384 << 20
  /// How long and how often passes are measured at least.
  private static let time = Duration.milliseconds(500)
  private static let passes = 3

  private let compute: ComputeContext
  private let stream: TensorStream?
  /// Matrices of each streamed section, and of all that stay.
  private let streamed: [[PackedMatrix]]
  private let pinned: [PackedMatrix]
  /// Bytes that stay to those that are streamed, in a pass.
  private let proportion: Double

  init(
    _ plan: ResidencyPlan,
    of file: IdfxFile,
    on compute: ComputeContext,
    _ tensors: (ResidencyPlan.Part) -> [IdfxTensor]
  ) throws {
    self.compute = compute
    // The load has not begun: half of what it will take is free for a moment.
    let room = min(Self.pinnedBytes, (plan.bytes - ResidencyPlan.slots * plan.slotBytes) / 2)
    var taken = 0
    let pinnedText = plan.pinnedText
    let staying = pinnedText.prefix { part in
      taken += part.bytes
      return taken <= room || taken == part.bytes
    }.flatMap(tensors)
    let loaded = try LoadedTensors(staying, of: file, threads: compute.threads)
    pinned = staying.compactMap { loaded.packed($0.name) }
    let groups = plan.textStream.prefix(Self.streamed).map(tensors)
    proportion =
      Double(pinnedText.reduce(0) { $0 + $1.bytes }) / Double(max(plan.bytesPerPass, 1))
    guard !groups.isEmpty else {
      stream = nil
      streamed = []
      return
    }
    let stream = try TensorStream(
      [groups.map { TensorPlacement($0) }],
      of: file,
      slots: ResidencyPlan.slots,
      slotBytes: plan.slotBytes,
      readers: FileWeights.decodingThreads(of: compute.threads) - 1
    )
    self.stream = stream
    streamed = groups.enumerated().map { group, tensors in
      tensors.compactMap { stream.packed($0.name, group: group) }
    }
  }

  /// Bytes of weights per second, of all kinds together.
  func bytesPerSecond() throws -> Double {
    guard !streamed.isEmpty || !pinned.isEmpty else { return 0 }
    // The first pass brings the sections into the page cache.
    var next = 0
    _ = try pass(&next)
    var rates: [Double] = []
    let end = ContinuousClock.now + Self.time
    while rates.count < Self.passes || .now < end {
      let start = ContinuousClock.now
      let bytes = try pass(&next)
      rates.append(Double(bytes) / max((ContinuousClock.now - start) / .seconds(1), 1e-9))
    }
    return rates.median ?? 0
  }

  /// Computes with every streamed section once, and in between with those that stay, from number `next` on; returns the
  /// bytes of all.
  private func pass(_ next: inout Int) throws -> Int {
    var bytes = 0
    guard let stream else {
      for matrix in pinned { bytes += multiply(matrix) }
      return bytes
    }
    // What is still to be computed of the sections that stay.
    var due = 0.0
    for (group, matrices) in streamed.enumerated() {
      try stream.acquire(group)
      for matrix in matrices { bytes += multiply(matrix) }
      stream.release(group)
      due += proportion * Double(matrices.reduce(0) { $0 + $1.byteCount })
      while due > 0, !pinned.isEmpty {
        let count = multiply(pinned[next % pinned.count])
        (bytes, due, next) = (bytes + count, due - Double(count), next + 1)
      }
    }
    return bytes
  }

  /// Multiplies one token by a matrix; returns the bytes it has.
  private func multiply(_ matrix: PackedMatrix) -> Int {
    let x = Matrix(rows: 1, columns: matrix.columns)
    var y = Matrix(rows: 1, columns: matrix.rows)
    compute.linear(x, matrix, into: &y)
    return matrix.byteCount
  }
}
