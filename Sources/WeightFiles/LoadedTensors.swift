// Tensors that are read once and stay in memory: all their blocks form one list in file order, which
// all threads work through, so that neither the disk nor a core waits for the end of a tensor. What is
// not in the page cache goes past it: a second copy of the weights there would serve nobody.

import Tensors

/// Tensors of a file in memory of their own.
public final class LoadedTensors: Sendable {
  /// What loading took.
  public let statistics: LoadStatistics
  private let placement: TensorPlacement
  private let region: ByteRegion

  /// Reads and decodes `tensors` of `file` with up to `threads` threads.
  ///
  /// - Throws: What is wrong with the file, or ``WeightFileError/cancelled(path:)`` when `isCancelled`,
  ///   asked before every block, said so.
  public init(
    _ tensors: [IdfxTensor],
    of file: IdfxFile,
    threads: Int,
    isCancelled: @escaping @Sendable () -> Bool = { false }
  ) throws(WeightFileError) {
    let placement = TensorPlacement(tensors)
    let arena = try WeightArena(byteCount: placement.byteCount, path: file.path)
    let failures = FirstFailure<WeightFileError>()
    let total = StatisticsSum()
    let input = file.file
    let blocks = placement.blocks
    let direct = DirectFile(input)
    // Some threads wait for the disk while the others decode: one for a small file, four for a large one, where
    // all processors may be waiting for memory at a time and the disk should still have something to do.
    let waiting = min(4, 1 + placement.storedByteCount >> 28)
    let workers = max(1, min(threads + waiting, blocks.count))
    let start = ContinuousClock.now
    ParallelWork.runOnThreads(workers, items: blocks.count) { claim in
      let reader = BlockReader(direct: direct)
      while let number = claim(), !failures.hasFailed {
        guard !isCancelled() else {
          failures.record(.cancelled(path: input.path), order: number)
          break
        }
        let block = blocks[number]
        do throws(WeightFileError) {
          try reader.decode(block, of: placement, from: input, into: arena, at: 0)
        } catch {
          failures.record(error, order: number)
        }
      }
      total.add(reader.takeStatistics())
    }
    if let error = failures.first { throw error }
    try input.checkUnchanged()
    var statistics = total.sum
    statistics.threads = workers
    statistics.seconds = (ContinuousClock.now - start) / .seconds(1)
    self.statistics = statistics
    self.placement = placement
    region = arena.region()
  }

  /// The packed matrix called `name`, or `nil` when it was not loaded.
  public func packed(_ name: String) -> PackedMatrix? { placement.packed(name, in: region) }

  /// The dense tensor called `name`, or `nil` when it was not loaded.
  public func dense(_ name: String) -> DenseTensor? { placement.dense(name, in: region) }
}

extension BlockReader {
  /// Fills the place of `block` in `arena`, where `placement` begins at `base`.
  func decode(
    _ block: TensorPlacement.Block,
    of placement: TensorPlacement,
    from file: InputFile,
    into arena: WeightArena,
    at base: Int
  ) throws(WeightFileError) {
    let target = arena.slice(
      offset: base + block.offset,
      count: block.extent.rawByteCount(ofBlock: block.index)
    )
    let name = placement.names[block.tensor]
    try decode(block.extent, block.index, of: name, from: file, into: target)
  }
}

extension InputFile {
  /// Tells the system that `block` will be read soon.
  func willRead(_ block: TensorPlacement.Block) {
    willRead(at: block.stored.offset, count: block.stored.storedBytes)
  }
}
