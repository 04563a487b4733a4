// Memory that a measurement is going to need, held until it does: a virtual machine may return to its host what is
// free for a second, and gets it back more slowly than a disk reads.

import Foundation
import Synchronization
import WeightFiles

/// Memory that this process has, and gives back in step with what it takes elsewhere.
final class MemoryReserve: Sendable {
  /// Bytes that may be free in between, in huge pages of the system.
  private static let slack = 256 << 20
  private static let step = 32 << 20

  /// Bytes per second at which the system handed the memory out.
  let obtainedBytesPerSecond: Double
  private let arena: WeightArena
  private let isOver = Atomic(false)

  /// Takes `byteCount` bytes with `threads` threads.
  init(byteCount: Int, threads: Int) throws {
    let steps = (byteCount + Self.step - 1) / Self.step
    arena = try WeightArena(byteCount: steps * Self.step, path: "memory")
    let start = ContinuousClock.now
    arena.touch(threads: threads)
    obtainedBytesPerSecond = Double(arena.byteCount) / ((ContinuousClock.now - start) / .seconds(1))
  }

  /// Begins to give memory back as the process takes other.
  func start() {
    let most = ProcessMemory.residentBytes - Self.slack
    let thread = Thread { [self] in
      var left = arena.byteCount
      while left > 0, !isOver.load(ordering: .relaxed) {
        if ProcessMemory.residentBytes > most {
          left -= Self.step
          arena.giveBack(from: left, count: Self.step)
        } else {
          usleep(1000)
        }
      }
    }
    thread.start()
  }

  /// Ends that.
  func stop() { isOver.store(true, ordering: .relaxed) }
}
