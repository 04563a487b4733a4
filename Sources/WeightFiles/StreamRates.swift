// How fast the blocks of a file come off the disk and through the decoder on this machine, measured on a
// sample of them: what a forecast of streaming needs to know.

import Synchronization
import Tensors

/// Measured rates of reading and decoding a file's blocks.
public struct StreamRates: Sendable, Equatable {
  /// Stored bytes per second from the disk itself; `nil` where it cannot be told from the page cache.
  public var diskBytesPerSecond: Double?
  /// Decoded bytes per second of all decoding threads, when the file is in the page cache.
  public var decodedBytesPerSecond: Double
  /// Decoding threads.
  public var threads: Int

  /// Given rates.
  public init(diskBytesPerSecond: Double?, decodedBytesPerSecond: Double, threads: Int) {
    self.diskBytesPerSecond = diskBytesPerSecond
    self.decodedBytesPerSecond = decodedBytesPerSecond
    self.threads = threads
  }

  /// Bytes of blocks that are measured.
  private static let sampleBytes = 128 << 20
  /// How long and how often at most blocks of a kind are decoded: on shared machines a moment's rate says little.
  private static let decodingTime = Duration.milliseconds(300)
  private static let decodingPasses = 16

  /// Measures a sample of `tensors` of `file` with `threads` decoding threads; takes about a second.
  ///
  /// How fast blocks decode depends on how far they were compressed: only those that will be streamed tell.
  public init(
    measuring tensors: [IdfxTensor],
    of file: IdfxFile,
    threads: Int
  ) throws(WeightFileError) {
    let blocks = Sample(of: tensors)
    let readers = Self.readers(threads)
    let direct = try Self.directRate(blocks.some(Self.sampleBytes), file.file, readers)
    self.init(
      diskBytesPerSecond: direct,
      decodedBytesPerSecond: try Self.decodedRate(blocks, file.file, readers),
      threads: readers.count
    )
  }

  /// Decoded bytes per second of `threads` threads, measured on a sample of `tensors` in the page cache.
  public static func decodedBytesPerSecond(
    _ tensors: [IdfxTensor],
    of file: IdfxFile,
    threads: Int
  ) throws(WeightFileError) -> Double {
    try decodedRate(Sample(of: tensors), file.file, readers(threads))
  }

  /// Stored bytes per second when `threads` threads read all of `tensors` past the page cache, and do nothing with
  /// it; `nil` where the file system does not do that.
  ///
  /// Takes as long as it says: a disk may be faster for a moment than for long.
  public static func wholeDiskBytesPerSecond(
    _ tensors: [IdfxTensor],
    of file: IdfxFile,
    threads: Int
  ) throws(WeightFileError) -> Double? {
    try directRate(Sample(of: tensors), file.file, readers(threads))
  }

  private static func readers(_ threads: Int) -> [SampleReader] {
    (0..<max(1, threads)).map { _ in SampleReader() }
  }

  /// Decoded bytes per second of `blocks`, of which a sample of each kind is decoded again and again.
  ///
  /// A compressed block takes several times as long as a raw one and may be rare: one rate for a mixed sample would
  /// hang on how many of them it met.
  private static func decodedRate(
    _ blocks: Sample,
    _ file: InputFile,
    _ readers: [SampleReader]
  ) throws(WeightFileError) -> Double {
    var seconds = 0.0
    let kinds = blocks.byCodec
    for kind in kinds {
      let sample = kind.some(sampleBytes / kinds.count)
      func rate(passes: Int) throws(WeightFileError) -> Double {
        try Self.rate(sample, readers, passes: passes) { block, reader throws(WeightFileError) in
          try reader.decode(block, of: sample.names[block.tensor], from: file)
        }
      }
      // The first pass brings the sample into the page cache.
      _ = try rate(passes: 1)
      seconds += Double(kind.decodedByteCount) / (try rate(passes: decodingPasses))
    }
    return Double(blocks.decodedByteCount) / max(seconds, 1e-9)
  }

  /// Stored bytes per second past the page cache, or `nil` where the file system does not do that.
  private static func directRate(
    _ sample: Sample,
    _ file: InputFile,
    _ readers: [SampleReader]
  ) throws(WeightFileError) -> Double? {
    guard let direct = DirectFile(file) else { return nil }
    return try rate(sample, readers, passes: 1) { block, reader throws(WeightFileError) in
      try reader.read(block, from: direct)
    }
  }

  /// Bytes per second that `body` says it has dealt with, on all readers together.
  private static func rate(
    _ sample: Sample,
    _ readers: [SampleReader],
    passes: Int,
    _ body: @Sendable (TensorPlacement.Block, SampleReader) throws(WeightFileError) -> Int
  ) throws(WeightFileError) -> Double {
    let failures = FirstFailure<WeightFileError>()
    let next = Atomic(0)
    let bytes = Atomic(0)
    let start = ContinuousClock.now
    let end = start + Self.decodingTime
    // Each reader is one item, so that it belongs to one thread.
    ParallelWork.run(threads: readers.count, items: readers.count) { claim in
      while let number = claim() {
        while !failures.hasFailed {
          let turn = next.add(1, ordering: .relaxed).oldValue
          // The first pass is a whole one, however long it takes.
          guard turn < sample.blocks.count * passes,
            turn < sample.blocks.count || .now < end
          else { break }
          let block = sample.blocks[turn % sample.blocks.count]
          do throws(WeightFileError) {
            bytes.add(try body(block, readers[number]), ordering: .relaxed)
          } catch {
            failures.record(error, order: block.stored.offset)
          }
        }
      }
    }
    if let error = failures.first { throw error }
    let seconds = (ContinuousClock.now - start) / .seconds(1)
    return Double(bytes.load(ordering: .relaxed)) / max(seconds, 1e-9)
  }
}

/// Blocks, and the names of their tensors by number.
private struct Sample {
  let names: [String]
  let blocks: [TensorPlacement.Block]

  /// All blocks of `tensors`.
  init(of tensors: [IdfxTensor]) {
    let placement = TensorPlacement(tensors)
    names = placement.names
    blocks = placement.blocks
  }

  private init(_ names: [String], _ blocks: [TensorPlacement.Block]) {
    self.names = names
    self.blocks = blocks
  }

  /// Bytes in memory.
  var decodedByteCount: Int { blocks.reduce(0) { $0 + $1.extent.rawByteCount(ofBlock: $1.index) } }

  /// The blocks of each codec.
  var byCodec: [Sample] {
    BlockCodec.allCases.map { codec in
      Sample(names, blocks.filter { $0.extent.codec == codec })
    }.filter { !$0.blocks.isEmpty }
  }

  /// About `byteCount` stored bytes of blocks from all over.
  func some(_ byteCount: Int) -> Sample {
    // Steps of the golden ratio fall evenly on any pattern of long and short blocks.
    let golden = 0.618_033_988_749_895
    var taken: Set<Int> = []
    var bytes = 0
    var turn = 0.5
    while bytes < byteCount, taken.count < blocks.count, turn < Double(2 * blocks.count) {
      let index = Int((turn * golden).truncatingRemainder(dividingBy: 1) * Double(blocks.count))
      if taken.insert(index).inserted { bytes += blocks[index].stored.storedBytes }
      turn += 1
    }
    return Sample(names, taken.sorted().map { blocks[$0] })
  }
}

/// A thread's memory for measuring: a block's stored and decoded bytes.
private final class SampleReader: @unchecked Sendable {
  // Sendable: used by one thread at a time, the one that claimed its number.
  private let reader = BlockReader()
  /// Room for more decoded blocks than caches hold, used in turn: a stream's blocks go to memory as well.
  private let targets = AlignedBuffer<UInt8>(count: 8 * IdfxFormat.maximumBlockBytes)
  private var next = 0
  private let stored = UnsafeMutableRawBufferPointer.allocate(
    byteCount: ZstdCodec.bound(IdfxFormat.maximumBlockBytes) + 2 * DirectFile.granule,
    alignment: DirectFile.granule
  )

  deinit { stored.deallocate() }

  /// Decodes a block; returns its decoded bytes.
  func decode(
    _ block: TensorPlacement.Block,
    of tensor: String,
    from file: InputFile
  ) throws(WeightFileError) -> Int {
    let bytes = UnsafeMutableRawBufferPointer(
      start: targets.baseAddress + next,
      count: block.extent.rawByteCount(ofBlock: block.index)
    )
    next = (next + IdfxFormat.maximumBlockBytes) % targets.count
    try reader.decode(block.extent, block.index, of: tensor, from: file, into: bytes)
    return bytes.count
  }

  /// Reads a block; returns its stored bytes.
  func read(
    _ block: TensorPlacement.Block,
    from file: DirectFile
  ) throws(WeightFileError) -> Int {
    _ = try file.read(at: block.stored.offset, count: block.stored.storedBytes, into: stored)
    return block.stored.storedBytes
  }
}
