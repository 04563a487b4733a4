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
  /// Stored bytes of the current block; kept, so that its pages are faulted in once.
  private var stored: [UInt8] = []

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
    if extent.codec == .raw {
      try file.read(at: block.offset, into: target)
      read = .now
      guard XXHash64.hash(UnsafeRawBufferPointer(target)) == block.checksum else {
        throw bad("is damaged: its checksum does not match")
      }
      return
    }
    if stored.count < block.storedBytes {
      stored = [UInt8](repeating: 0, count: max(block.storedBytes, 2 * stored.count))
    }
    // A typed error cannot leave the closure, which has no place for one.
    let result = stored.withUnsafeMutableBytes { buffer -> Result<Void, WeightFileError> in
      let frame = UnsafeMutableRawBufferPointer(rebasing: buffer[..<block.storedBytes])
      do throws(WeightFileError) {
        try file.read(at: block.offset, into: frame)
      } catch {
        return .failure(error)
      }
      read = .now
      guard XXHash64.hash(UnsafeRawBufferPointer(frame)) == block.checksum else {
        return .failure(bad("is damaged: its checksum does not match"))
      }
      do throws(ZstdCodec.Failure) {
        try codec.decompress(UnsafeRawBufferPointer(frame), into: target)
        return .success(())
      } catch {
        return .failure(bad(error.reason))
      }
    }
    try result.get()
  }
}
