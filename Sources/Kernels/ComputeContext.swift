// The façade of the kernels: checks shapes once, splits work into chunks for the thread pool, and
// hands plain pointers to the bodies. A wrong shape is an error of the program and traps here, so
// that nothing below needs to look.

import KernelCore
import Tensors

/// Kernels of one instruction set on a pool of threads, with their scratch memory.
///
/// Belongs to one thread at a time. Results do not depend on the instruction set, the number of
/// threads, or how tokens are batched: every output is the same sequence of roundings.
public final class ComputeContext {
  /// The instruction set in use.
  public let isa: ISA
  let kernels: KernelTable
  let pool: ThreadPool
  var activationScratch = ScratchBuffer()
  var threadScratch = ScratchBuffer()
  var rotaryTables: [Int: RotaryTable] = [:]

  /// A context with `threads` threads, the caller's included.
  ///
  /// - Parameters:
  ///   - isa: `nil` takes the fastest that the machine has.
  ///   - threads: `nil` takes `Processors.recommendedThreads`.
  /// - Throws: `unavailable`, `threadCount` or `threadStart`.
  public init(isa: ISA? = nil, threads: Int? = nil) throws(KernelError) {
    let isa = isa ?? .best
    guard ISA.available.contains(isa), let kernels = isa.kernels else { throw .unavailable(isa) }
    self.isa = isa
    self.kernels = kernels
    pool = try ThreadPool(threads: threads ?? Processors.recommendedThreads)
  }

  /// Threads that work on a call, the caller's included.
  public var threads: Int { pool.threads }

  /// Splits `count` items into ranges of at least `grain`, a few for each thread, and calls
  /// `body(lower, upper)` for each.
  func parallel(_ count: Int, grain: Int, _ body: (Int, Int) -> Void) {
    let size = max(grain, (count + threads * 8 - 1) / (threads * 8), 1)
    pool.run((count + size - 1) / size) { chunk, _ in
      body(chunk * size, min((chunk + 1) * size, count))
    }
  }
}
