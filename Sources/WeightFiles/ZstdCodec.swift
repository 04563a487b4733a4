// One zstd frame a block. Decoding trusts nothing in the frame: exactly one frame, no skippable one,
// no dictionary, a stated content size equal to the size the directory gives, a window no larger than
// 8 MiB, and output only into a buffer of that size. Memory is never sized from the frame.

import CZstd

/// Compresses and decompresses blocks; one per thread.
package final class ZstdCodec {
  /// Why a block did not decode.
  package struct Failure: Error, Hashable {
    package let reason: String

    package init(reason: String) { self.reason = reason }
  }

  private static let magic: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd]
  private static let maximumWindowLog = 23

  private let compressor: OpaquePointer?
  private let decompressor: OpaquePointer?
  private let level: Int32

  /// A codec that compresses with `level`, clamped to what the library has.
  package init(level: Int = 3) {
    compressor = ZSTD_createCCtx()
    decompressor = ZSTD_createDCtx()
    self.level = max(1, min(Int32(clamping: level), ZSTD_maxCLevel()))
  }

  deinit {
    ZSTD_freeCCtx(compressor)
    ZSTD_freeDCtx(decompressor)
  }

  /// Most bytes that `count` bytes can take when compressed.
  static func bound(_ count: Int) -> Int { ZSTD_compressBound(count) }

  /// `bytes` as one frame with its content size.
  package func compress(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> [UInt8] {
    guard let compressor else { throw Failure(reason: "out of memory") }
    let capacity = Self.bound(bytes.count)
    var written = 0
    let frame = [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
      written = ZSTD_compressCCtx(
        compressor,
        buffer.baseAddress,
        capacity,
        bytes.baseAddress,
        bytes.count,
        level
      )
      count = ZSTD_isError(written) == 0 ? written : 0
    }
    guard ZSTD_isError(written) == 0 else { throw Failure(reason: Self.name(written)) }
    return frame
  }

  /// Decodes `frame` into exactly `output`.
  package func decompress(
    _ frame: UnsafeRawBufferPointer,
    into output: UnsafeMutableRawBufferPointer
  ) throws(Failure) {
    guard let decompressor else { throw Failure(reason: "out of memory") }
    guard frame.count >= 6, frame.prefix(4).elementsEqual(Self.magic) else {
      throw Failure(reason: "is no zstd frame")
    }
    // Frame header descriptor: bit 5 says that the window is the content, without a window byte.
    if frame[4] & 0x20 == 0 {
      let window = frame[5]
      let log = 10 + Int(window >> 3)
      guard log < Self.maximumWindowLog || (log == Self.maximumWindowLog && window & 7 == 0) else {
        throw Failure(reason: "has a window of more than 8 MiB")
      }
    }
    guard frame[4] & 3 == 0 else { throw Failure(reason: "needs a dictionary") }
    let content = ZSTD_getFrameContentSize(frame.baseAddress, frame.count)
    guard content == UInt64(output.count) else {
      throw Failure(reason: "does not state the size that the directory gives")
    }
    guard ZSTD_findFrameCompressedSize(frame.baseAddress, frame.count) == frame.count else {
      throw Failure(reason: "is not exactly one frame")
    }
    let written = ZSTD_decompressDCtx(
      decompressor,
      output.baseAddress,
      output.count,
      frame.baseAddress,
      frame.count
    )
    guard ZSTD_isError(written) == 0 else { throw Failure(reason: Self.name(written)) }
    guard written == output.count else { throw Failure(reason: "is shorter than it states") }
  }

  private static func name(_ code: Int) -> String {
    "does not decode (\(String(cString: ZSTD_getErrorName(code))))"
  }
}
