// A parallel loop over numbered items, and what its workers share: the output they fill and the
// failure they report. Nothing here outlives the call that made it.

import Foundation
import Synchronization
import Tensors

/// Runs numbered items on several threads.
package enum ParallelWork {
  /// Runs `body` on up to `threads` threads; each takes item numbers from its argument, which gives
  /// every number in `0..<items` once, in increasing order, and then `nil`.
  ///
  /// Returns when all have returned. A worker may wait only for items with lower numbers than its
  /// own: they have been taken by a thread that is running.
  package static func run(
    threads: Int,
    items: Int,
    _ body: @Sendable (@Sendable () -> Int?) -> Void
  ) {
    let next = Atomic<Int>(0)
    let claim: @Sendable () -> Int? = {
      let index = next.add(1, ordering: .relaxed).oldValue
      return index < items ? index : nil
    }
    guard threads > 1 else { return body(claim) }
    DispatchQueue.concurrentPerform(iterations: threads) { _ in body(claim) }
  }
}

extension ParallelWork {
  /// The same on exactly `threads` threads, also where that is more than there are processors: for
  /// workers that wait for a disk.
  static func runOnThreads(
    _ threads: Int,
    items: Int,
    _ body: @escaping @Sendable (@Sendable () -> Int?) -> Void
  ) {
    let counter = ItemCounter()
    let claim: @Sendable () -> Int? = {
      let index = counter.next.add(1, ordering: .relaxed).oldValue
      return index < items ? index : nil
    }
    let group = DispatchGroup()
    for _ in 1..<max(threads, 1) {
      group.enter()
      let thread = Thread {
        body(claim)
        group.leave()
      }
      thread.start()
    }
    body(claim)
    group.wait()
  }

  private final class ItemCounter: Sendable {
    let next = Atomic<Int>(0)
  }
}

/// Keeps the failure of the lowest item, so that the error does not depend on timing alone.
package final class FirstFailure<Failure: Error & Sendable>: Sendable {
  private let state = Mutex<(order: Int, failure: Failure)?>(nil)

  package init() {}

  /// Whether any item failed.
  package var hasFailed: Bool { state.withLock { $0 != nil } }

  /// The failure of the lowest item that failed.
  package var first: Failure? { state.withLock { $0?.failure } }

  /// Notes that item `order` failed.
  package func record(_ failure: Failure, order: Int) {
    state.withLock { current in
      if let known = current, known.order <= order { return }
      current = (order, failure)
    }
  }
}

/// Adds up what several readers have done.
final class StatisticsSum: Sendable {
  private let state = Mutex(LoadStatistics())

  /// All that was added so far.
  var sum: LoadStatistics { state.withLock { $0 } }

  /// Adds what one reader did.
  func add(_ statistics: LoadStatistics) { state.withLock { $0.add(statistics) } }
}

/// Memory that several threads fill, each its own part, and that is then frozen.
final class BlockOutput: @unchecked Sendable {
  // Sendable: every block is written by the one thread that claimed it, and nobody reads before
  // the loop has ended.
  private let base: UnsafeMutableRawPointer
  private let count: Int

  /// Uninitialised room for `byteCount` bytes, 64-byte aligned.
  init(byteCount: Int) {
    base = .allocate(byteCount: max(byteCount, 1), alignment: 64)
    count = byteCount
  }

  /// A checked part of it.
  func slice(offset: Int, count: Int) -> UnsafeMutableRawBufferPointer {
    precondition(offset >= 0 && count >= 0 && offset <= self.count - count, "outside the output")
    return UnsafeMutableRawBufferPointer(start: base + offset, count: count)
  }

  /// The filled bytes; the region keeps this object, and with it the memory, alive.
  func freeze() -> ByteRegion {
    ByteRegion(baseAddress: UnsafeRawPointer(base), count: count) { _ in _ = self }
  }

  deinit { base.deallocate() }
}
