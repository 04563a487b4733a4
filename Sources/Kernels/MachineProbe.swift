// Measures what the machine can do at best, to be taken in the same run as whatever is judged
// against it: on shared machines both limits move from second to second.

import KernelCore
import Tensors

/// The read bandwidth and the int8 multiply-add rate that a context can reach.
public final class MachineProbe {
  private let context: ComputeContext
  private let buffer: AlignedBuffer<UInt8>

  /// A probe that reads `bytes` bytes of ordinary memory at a time; take several times the
  /// last-level cache.
  public init(context: ComputeContext, bytes: Int = 256 << 20) {
    self.context = context
    var buffer = AlignedBuffer<UInt8>(count: max(bytes, 1 << 20) / 4096 * 4096)
    // Pages that were never written may share one physical page.
    buffer.withMutableElements { elements in
      for index in stride(from: 0, to: elements.count, by: 64) {
        elements[index] = UInt8(truncatingIfNeeded: index >> 6 &* 37)
      }
    }
    self.buffer = buffer
  }

  /// Bytes per second of one pass over the buffer with all threads.
  public func readBytesPerSecond() -> Double {
    let chunk = 1 << 20
    let base = UnsafeRawPointer(buffer.baseAddress)
    let count = buffer.count
    let kernels = context.kernels
    let sums = Sink()
    let elapsed = ContinuousClock().measure {
      context.pool.run((count + chunk - 1) / chunk) { index, thread in
        let bytes = min(chunk, count - index * chunk)
        sums.keep(kernels.read(base + index * chunk, bytes / 64), thread)
      }
    }
    return Double(count) / elapsed.inSeconds
  }

  /// Int8 multiply-adds per second of all threads, with operands in registers and the first cache.
  public func productsPerSecond() -> Double {
    let turns = context.isa == .portable ? 2000 : 200_000
    let chunks = context.threads * 8
    let base = UnsafeRawPointer(buffer.baseAddress)
    let kernels = context.kernels
    let sums = Sink()
    let elapsed = ContinuousClock().measure {
      context.pool.run(chunks) { _, thread in sums.keep(kernels.multiply(base, turns), thread) }
    }
    return Double(chunks * turns * kernels.productsPerTurn) / elapsed.inSeconds
  }
}

/// Keeps results alive so that no measured work is optimised away.
private final class Sink {
  private let slots = UnsafeMutablePointer<UInt32>.allocate(capacity: 1024 * 16)

  init() { slots.initialize(repeating: 0, count: 1024 * 16) }

  deinit { slots.deallocate() }

  func keep(_ value: UInt32, _ thread: Int) { slots[thread * 16] &+= value }
}

extension Duration {
  fileprivate var inSeconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
