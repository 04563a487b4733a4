// Measures what the machine can do at best, before and after whatever is judged against it: on shared
// machines both limits move from second to second.

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
    let chunk = 4 << 20
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

extension MachineProbe {
  /// What bounds a piece of work.
  public enum Limit: Sendable {
    /// Bytes read per second.
    case reading
    /// Int8 multiply-adds per second.
    case multiplying
  }

  /// Units of a limit per second, now.
  public func rate(of limit: Limit) -> Double {
    switch limit {
    case .reading: readBytesPerSecond()
    case .multiplying: productsPerSecond()
    }
  }

  /// Repeats `body`, which does `work` units of a limit, `repeats` times, each time between two probes.
  ///
  /// Where these differ by more than a tenth the machine has changed meanwhile, and the repetition is done
  /// again; at most as many times as there are repetitions.
  public func runs(
    of work: Double,
    against limit: Limit,
    repeats: Int,
    _ body: () throws -> Void
  ) rethrows -> ProbedRuns {
    var steady: [(seconds: Double, share: Double)] = []
    var others = steady
    var before = rate(of: limit)
    while steady.count < repeats, others.count <= repeats {
      let start = ContinuousClock.now
      try body()
      let seconds = (ContinuousClock.now - start).inSeconds
      let after = rate(of: limit)
      // The faster probe: work that no probe keeps up with must not look like a large share of a limit.
      let run = (seconds, work / seconds / max(before, after))
      if abs(before - after) <= 0.1 * max(before, after) {
        steady.append(run)
      } else {
        others.append(run)
      }
      before = after
    }
    let isSteady = steady.count >= repeats
    return ProbedRuns(isSteady ? steady : steady + others, isSteady: isSteady)
  }
}

/// Repetitions of a piece of work between probes of its limit.
public struct ProbedRuns: Sendable {
  /// How far a share can be relied on.
  public enum Trust: String, Sendable, Encodable {
    /// Probes agreed, and the work was not faster than they.
    case steady
    /// Too many repetitions lay between probes that differed.
    case limitMoved = "limit_moved"
    /// The work was faster than the limit: the probe was slow, and the share says nothing.
    case probeBeaten = "probe_beaten"
  }

  /// Seconds of each repetition, ascending; not empty.
  public let seconds: [Double]
  /// Median share of the limit.
  public let share: Double
  /// How far it can be relied on.
  public let trust: Trust

  fileprivate init(_ runs: [(seconds: Double, share: Double)], isSteady: Bool) {
    seconds = runs.map(\.seconds).sorted()
    share = runs.map(\.share).median ?? 0
    trust = share > 1 ? .probeBeaten : isSteady ? .steady : .limitMoved
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
