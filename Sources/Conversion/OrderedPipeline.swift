// Work done by several threads, consumed in order by whichever thread finishes the next item. Bounds
// how far the threads may run ahead, and so the memory. Stops everything at the first failure.

import Foundation
import WeightFiles

/// Numbered items: produced in parallel, consumed one at a time in increasing order.
final class OrderedPipeline<Output: Sendable, Failure: Error & Sendable>: @unchecked Sendable {
  // Sendable: all mutable state is touched with `condition` locked; `consume` runs on one thread at a
  // time because only the thread that set `isConsuming` calls it.

  private let condition = NSCondition()
  private let window: Int
  private var finished: [Int: Output] = [:]
  private var next = 0
  private var isConsuming = false
  private var failure: (order: Int, failure: Failure)?

  /// A pipeline whose threads may be `window` items ahead of what has been consumed.
  init(window: Int) { self.window = max(window, 1) }

  /// Runs all items on `threads` threads; throws the failure of the lowest item that failed.
  func run(
    threads: Int,
    items: Int,
    produce: @Sendable (Int) throws(Failure) -> Output,
    consume: @Sendable (Int, Output) throws(Failure) -> Void
  ) throws(Failure) {
    ParallelWork.run(threads: threads, items: items) { claim in
      while let item = claim() {
        guard self.waitForTurn(item) else { return }
        do throws(Failure) {
          let output = try produce(item)
          try self.deliver(item, output, consume)
        } catch {
          self.fail(item, error)
          return
        }
      }
    }
    if let failure { throw failure.failure }
  }

  /// Waits until `item` is within the window; `false` when the work was stopped.
  private func waitForTurn(_ item: Int) -> Bool {
    condition.lock()
    defer { condition.unlock() }
    while failure == nil && item >= next + window { condition.wait() }
    return failure == nil
  }

  private func deliver(
    _ item: Int,
    _ output: Output,
    _ consume: (Int, Output) throws(Failure) -> Void
  ) throws(Failure) {
    condition.lock()
    finished[item] = output
    guard !isConsuming else { return condition.unlock() }
    isConsuming = true
    while failure == nil, let output = finished.removeValue(forKey: next) {
      let item = next
      condition.unlock()
      do throws(Failure) {
        try consume(item, output)
      } catch {
        condition.lock()
        isConsuming = false
        condition.unlock()
        throw error
      }
      condition.lock()
      next += 1
      condition.broadcast()
    }
    isConsuming = false
    condition.unlock()
  }

  private func fail(_ item: Int, _ error: Failure) {
    condition.lock()
    defer { condition.unlock() }
    if let known = failure, known.order <= item { return }
    failure = (item, error)
    condition.broadcast()
  }
}

/// Values that one thread computes and others wait for.
final class AwaitedValues<Value: Sendable>: @unchecked Sendable {
  // Sendable: `values` and `isStopped` are touched with `condition` locked only.

  private let condition = NSCondition()
  private var values: [Int: Value] = [:]
  private var isStopped = false

  /// Makes the value of `key` known.
  func set(_ value: Value, for key: Int) {
    condition.lock()
    values[key] = value
    condition.broadcast()
    condition.unlock()
  }

  /// Forgets the value of `key`, which nobody will ask for again.
  func remove(_ key: Int) {
    condition.lock()
    values[key] = nil
    condition.unlock()
  }

  /// Waits for the value of `key`; `nil` when `stop` was called before there was one.
  func value(for key: Int) -> Value? {
    condition.lock()
    defer { condition.unlock() }
    while values[key] == nil, !isStopped { condition.wait() }
    return values[key]
  }

  /// Wakes all who wait: what they wait for will not come.
  func stop() {
    condition.lock()
    isStopped = true
    condition.broadcast()
    condition.unlock()
  }
}
