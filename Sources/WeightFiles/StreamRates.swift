// How fast the blocks of a file come off the disk and through the decoder on this machine, measured on a
// sample of them: what a forecast of streaming needs to know.

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

  /// Measures a sample of `tensors` of `file` with `threads` decoding threads; takes a fraction of a second.
  ///
  /// How fast blocks decode depends on how far they were compressed: only those that will be streamed tell.
  public init(
    measuring tensors: [IdfxTensor],
    of file: IdfxFile,
    threads: Int
  ) throws(WeightFileError) {
    let sample = Self.sample(of: tensors)
    let readers = (0..<max(1, threads)).map { _ in SampleReader() }
    let direct = try Self.directSeconds(sample, file.file, readers)
    // The first pass brings the sample into the page cache, the second is measured.
    _ = try Self.decodeSeconds(sample, file.file, readers)
    let seconds = try Self.decodeSeconds(sample, file.file, readers)
    let stored = sample.blocks.reduce(0) { $0 + $1.stored.storedBytes }
    let decoded = sample.blocks.reduce(0) { $0 + $1.extent.rawByteCount(ofBlock: $1.index) }
    self.init(
      diskBytesPerSecond: direct.map { Double(stored) / max($0, 1e-9) },
      decodedBytesPerSecond: Double(decoded) / max(seconds, 1e-9),
      threads: readers.count
    )
  }

  /// Blocks, and the names of their tensors by number.
  private struct Sample {
    let names: [String]
    let blocks: [TensorPlacement.Block]
  }

  /// Large blocks from all over `tensors`.
  private static func sample(of tensors: [IdfxTensor]) -> Sample {
    let placement = TensorPlacement(tensors)
    let largest = placement.blocks.map(\.stored.storedBytes).max() ?? 0
    let large = placement.blocks.filter { $0.stored.storedBytes >= largest / 2 }
    let wanted = max(1, min(large.count, sampleBytes / max(largest, 1)))
    let step = max(1, large.count / wanted)
    return Sample(
      names: placement.names,
      blocks: stride(from: 0, to: large.count, by: step).map { large[$0] }
    )
  }

  private static func decodeSeconds(
    _ sample: Sample,
    _ file: InputFile,
    _ readers: [SampleReader]
  ) throws(WeightFileError) -> Double {
    let failures = FirstFailure<WeightFileError>()
    let seconds = inParallel(sample.blocks, readers) { block, reader in
      do throws(WeightFileError) {
        try reader.decode(block, of: sample.names[block.tensor], from: file)
      } catch {
        failures.record(error, order: block.stored.offset)
      }
    }
    if let error = failures.first { throw error }
    return seconds
  }

  /// Time to read the sample past the page cache, or `nil` where the file system does not do that.
  private static func directSeconds(
    _ sample: Sample,
    _ file: InputFile,
    _ readers: [SampleReader]
  ) throws(WeightFileError) -> Double? {
    guard let direct = DirectFile(file) else { return nil }
    let failures = FirstFailure<WeightFileError>()
    let seconds = inParallel(sample.blocks, readers) { block, reader in
      do throws(WeightFileError) {
        try reader.read(block, from: direct)
      } catch {
        failures.record(error, order: block.stored.offset)
      }
    }
    if let error = failures.first { throw error }
    return seconds
  }

  private static func inParallel(
    _ blocks: [TensorPlacement.Block],
    _ readers: [SampleReader],
    _ body: @Sendable (TensorPlacement.Block, SampleReader) -> Void
  ) -> Double {
    let start = ContinuousClock.now
    // Each reader is one item, so that it belongs to one thread.
    ParallelWork.run(threads: readers.count, items: readers.count) { claim in
      while let number = claim() {
        for index in stride(from: number, to: blocks.count, by: readers.count) {
          body(blocks[index], readers[number])
        }
      }
    }
    return (ContinuousClock.now - start) / .seconds(1)
  }
}

/// A thread's memory for measuring: a block's stored and decoded bytes.
private final class SampleReader: @unchecked Sendable {
  // Sendable: used by one thread at a time, the one that claimed its number.
  private let reader = BlockReader()
  private let target = AlignedBuffer<UInt8>(count: IdfxFormat.maximumBlockBytes)
  private let stored = UnsafeMutableRawBufferPointer.allocate(
    byteCount: ZstdCodec.bound(IdfxFormat.maximumBlockBytes) + 2 * DirectFile.granule,
    alignment: DirectFile.granule
  )

  deinit { stored.deallocate() }

  func decode(
    _ block: TensorPlacement.Block,
    of tensor: String,
    from file: InputFile
  ) throws(WeightFileError) {
    let bytes = UnsafeMutableRawBufferPointer(
      start: target.baseAddress,
      count: block.extent.rawByteCount(ofBlock: block.index)
    )
    try reader.decode(block.extent, block.index, of: tensor, from: file, into: bytes)
  }

  func read(
    _ block: TensorPlacement.Block,
    from file: DirectFile
  ) throws(WeightFileError) {
    _ = try file.read(at: block.stored.offset, count: block.stored.storedBytes, into: stored)
  }
}
