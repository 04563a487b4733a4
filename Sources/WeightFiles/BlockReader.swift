// One thread's way from the file to decoded blocks: a buffer for the stored bytes, a decoder, and the
// time that each of the two has taken.

import Tensors

/// What loading took, summed over threads but for `seconds`.
public struct LoadStatistics: Sendable, Equatable {
  /// Bytes read from the file.
  public var storedBytes = 0
  /// Bytes in memory.
  public var bytes = 0
  /// Time spent waiting for the file.
  public var readSeconds = 0.0
  /// Time spent on checksums and decoding.
  public var decodeSeconds = 0.0
  /// Time from the first block to the last.
  public var seconds = 0.0
  /// Threads at work.
  public var threads = 1

  /// Nothing loaded yet.
  public init() {}

  /// Adds what another thread did.
  mutating func add(_ other: LoadStatistics) {
    storedBytes += other.storedBytes
    bytes += other.bytes
    readSeconds += other.readSeconds
    decodeSeconds += other.decodeSeconds
  }

  /// Stored bytes per second that the file gave while it was being read.
  public var readBytesPerSecond: Double {
    readSeconds > 0 ? Double(storedBytes) * Double(threads) / readSeconds : .infinity
  }

  /// Decoded bytes per second of all threads, had they never waited for the file.
  public var decodeBytesPerSecond: Double {
    decodeSeconds > 0 ? Double(bytes) * Double(threads) / decodeSeconds : .infinity
  }
}

/// Reads and decodes blocks; one per thread.
final class BlockReader {
  private var statistics = LoadStatistics()
  private let codec = ZstdCodec()
  private let direct: DirectFile?
  /// Stored bytes of the current block, aligned for direct reads; kept, so that its pages are faulted in
  /// once.
  private var buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)

  /// A reader that takes what is not in the page cache past it, if `direct` is given.
  init(direct: DirectFile? = nil) { self.direct = direct }

  deinit { buffer.deallocate() }

  /// Gives up its memory until the next block.
  func rest() {
    buffer.deallocate()
    buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
  }

  /// What this reader has done since the last call.
  func takeStatistics() -> LoadStatistics {
    defer { statistics = LoadStatistics() }
    return statistics
  }

  /// Fills `target` with block `index` of `extent`, checking its checksum.
  func decode(
    _ extent: IdfxExtent,
    _ index: Int,
    of tensor: String,
    from file: InputFile,
    into target: UnsafeMutableRawBufferPointer
  ) throws(WeightFileError) {
    func bad(_ reason: String) -> WeightFileError {
      .badTensor(path: file.path, tensor: tensor, reason: "has a block \(index) that \(reason)")
    }
    let block = extent.blocks[index]
    let start = ContinuousClock.now
    var read = start
    defer {
      statistics.storedBytes += block.storedBytes
      statistics.bytes += target.count
      statistics.readSeconds += (read - start) / .seconds(1)
      statistics.decodeSeconds += (ContinuousClock.now - read) / .seconds(1)
    }
    let isDirect =
      direct.map { !$0.isCached(at: block.offset, count: block.storedBytes) } ?? false
    let stored: UnsafeRawBufferPointer
    if extent.codec == .raw, !isDirect {
      try file.read(at: block.offset, into: target)
      stored = UnsafeRawBufferPointer(target)
    } else {
      stored = try fetch(block, from: file, directly: isDirect)
    }
    read = .now
    guard XXHash64.hash(stored) == block.checksum else {
      throw bad("is damaged: its checksum does not match")
    }
    guard extent.codec == .zstd else {
      if isDirect { target.copyMemory(from: stored) }
      return
    }
    do throws(ZstdCodec.Failure) {
      try codec.decompress(stored, into: target)
    } catch {
      throw bad(error.reason)
    }
  }

  /// The stored bytes of a block, valid until the next call.
  private func fetch(
    _ block: IdfxBlock,
    from file: InputFile,
    directly isDirect: Bool
  ) throws(WeightFileError) -> UnsafeRawBufferPointer {
    let room = block.storedBytes + 2 * DirectFile.granule
    if buffer.count < room {
      let size = max(room, 2 * buffer.count)
      buffer.deallocate()
      buffer = .allocate(byteCount: size, alignment: DirectFile.granule)
    }
    var skipped = 0
    if isDirect, let direct {
      skipped = try direct.read(at: block.offset, count: block.storedBytes, into: buffer)
    } else {
      try file.read(
        at: block.offset,
        into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<block.storedBytes])
      )
    }
    return UnsafeRawBufferPointer(rebasing: buffer[skipped..<(skipped + block.storedBytes)])
  }
}
