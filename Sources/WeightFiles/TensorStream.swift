// Tensors that do not stay in memory: groups of them share a few slots, and are read and decoded ahead of
// use by threads of their own, in the order in which they are going to be asked for. Groups that are to stay for a
// while have a slot each, and nothing is read before the first of them is asked for.
//
// Invariants, all under the lock:
//   R1  Bytes of a slot are written only through claims on blocks of the group that the slot holds.
//   R2  A slot gets another group only when no claim on it is open and its group is not in use.
//   R3  `acquire` returns when every block of the group was decoded and its checksum was right.
//   R4  A failed group stays failed until it is asked for. Then it is read anew, in case what was wrong has
//       passed since it was read ahead; should it fail again, that is thrown and forgotten.

import Foundation
import Tensors

/// Groups of tensors in a few shared slots of memory.
///
/// Matrices are views that never move; their bytes are there between `acquire` and `release` of their
/// group. One thread at a time may use groups, one group at a time.
public final class TensorStream: Sendable {
  private let shared: StreamState
  private let readers: Int

  /// Groups that are read ahead of one that is asked for, where each has a slot.
  private static let groupsAhead = 2

  /// Reserves `slots` slots of `slotBytes` bytes and starts `readers` threads that read ahead.
  ///
  /// `sequences` are groups in the order in which they are used, for each kind of pass; the last kind is
  /// the usual one. A slot must hold the largest group. `bypassesPageCache` is for groups that would not
  /// be found in the page cache the next time anyway.
  public init(
    _ sequences: [[TensorPlacement]],
    of file: IdfxFile,
    slots: Int,
    slotBytes: Int,
    readers: Int,
    bypassesPageCache: Bool = false
  ) throws(WeightFileError) {
    let groups = sequences.flatMap(\.self)
    precondition(groups.allSatisfy { $0.byteCount <= slotBytes }, "a group larger than a slot")
    let order = StreamOrder(lengths: sequences.map(\.count), slots: slots)
    shared = StreamState(
      order: order,
      groups: groups,
      file: file.file,
      direct: bypassesPageCache ? DirectFile(file.file) : nil,
      arena: try WeightArena(byteCount: slots * slotBytes, path: file.path),
      offsets: (0..<slots).map { $0 * slotBytes },
      groupsAhead: slots,
      expected: order.first
    )
    self.readers = readers
    for _ in 0..<readers { shared.startReader() }
  }

  /// Reserves room for all of `groups`, which are used in this order, and starts `readers` threads that read ahead
  /// once the first is asked for.
  ///
  /// What was read stays until ``leave()``.
  public init(
    keeping groups: [TensorPlacement],
    of file: IdfxFile,
    readers: Int
  ) throws(WeightFileError) {
    var offsets: [Int] = []
    var end = 0
    for group in groups {
      offsets.append(end)
      end += group.byteCount
    }
    shared = StreamState(
      order: StreamOrder(lengths: [groups.count], slots: groups.count),
      groups: groups,
      file: file.file,
      direct: nil,
      arena: try WeightArena(byteCount: end, path: file.path),
      offsets: offsets,
      groupsAhead: Self.groupsAhead,
      expected: nil
    )
    self.readers = readers
    for _ in 0..<readers { shared.startReader() }
  }

  deinit { shared.stop() }

  /// What the stream has read and decoded so far.
  public var statistics: LoadStatistics {
    var statistics = shared.statistics.sum
    // The thread that waits for a group decodes as well.
    statistics.threads = readers + 1
    return statistics
  }

  /// The packed matrix called `name` of group `group`, or `nil`: its bytes count while the group is
  /// acquired.
  public func packed(_ name: String, group: Int) -> PackedMatrix? {
    shared.groups[group].packed(name, in: shared.region(of: group))
  }

  /// Returns when the bytes of group `group` are in memory; meanwhile the caller decodes as well.
  ///
  /// - Throws: What is wrong with the file, if a block of the group cannot be read or is damaged.
  public func acquire(_ group: Int) throws(WeightFileError) { try shared.acquire(group) }

  /// Lets the slot of `group` be used for another one.
  public func release(_ group: Int) { shared.release(group) }

  /// Gives the memory of all groups back to the system, and reads nothing before one is asked for; no group may be in
  /// use.
  public func leave() { shared.leave() }
}

/// What the user of a stream and its reading threads share.
private final class StreamState: @unchecked Sendable {
  // Sendable: mutable state is guarded by `lock`; the arena's bytes are written under R1 and R2.

  let groups: [TensorPlacement]
  let statistics = StatisticsSum()
  private let order: StreamOrder
  private let file: InputFile
  private let direct: DirectFile?
  private let arena: WeightArena
  private let arenaRegion: ByteRegion
  /// Where each slot begins in the arena.
  private let offsets: [Int]
  private let groupsAhead: Int

  private let lock = NSCondition()
  private var slots: [Slot]
  /// The group that is likely to be asked for next; `nil` when none is.
  private var expected: Int?
  private var used: Int?
  /// The last group that the system was told of.
  private var announced: Int?
  private var isStopped = false
  private var runningReaders = 0
  /// The reader of the thread that acquires.
  private let ownReader: BlockReader

  /// What a slot holds.
  private struct Slot {
    var group: Int?
    /// Blocks handed out, and done.
    var claimed = 0
    var done = 0
    var failure: WeightFileError?

    var isBusy: Bool { claimed > done }
  }

  /// A block to be decoded, by who took it.
  private struct Claim {
    let group: Int
    var block: Int
    /// Groups of which the system is to be told that they will be read.
    var announces: [Int] = []
  }

  init(
    order: StreamOrder,
    groups: [TensorPlacement],
    file: InputFile,
    direct: DirectFile?,
    arena: WeightArena,
    offsets: [Int],
    groupsAhead: Int,
    expected: Int?
  ) {
    self.order = order
    self.groups = groups
    self.file = file
    self.direct = direct
    ownReader = BlockReader(direct: direct)
    self.arena = arena
    arenaRegion = arena.region()
    self.offsets = offsets
    self.groupsAhead = groupsAhead
    self.expected = expected
    slots = [Slot](repeating: Slot(), count: order.slots)
  }

  /// The memory of the slot of `group`, as far as the group fills it.
  func region(of group: Int) -> ByteRegion {
    let start = arenaRegion.baseAddress + offsets[order.slot(of: group)]
    return ByteRegion(baseAddress: start, count: groups[group].byteCount) { [arenaRegion] _ in
      _ = arenaRegion
    }
  }

  // MARK: The user's side

  func acquire(_ group: Int) throws(WeightFileError) {
    lock.lock()
    defer { lock.unlock() }
    precondition(used == nil, "a group is in use")
    expected = group
    let slot = order.slot(of: group)
    var wasReadAhead = slots[slot].group == group
    lock.broadcast()
    while true {
      if slots[slot].group == group, !slots[slot].isBusy {
        if let failure = slots[slot].failure {
          slots[slot] = Slot()
          guard wasReadAhead else { throw failure }
          wasReadAhead = false
          continue
        }
        if slots[slot].done == groups[group].blocks.count { break }
      }
      if let claim = claim() {
        perform(claim, with: ownReader)
      } else {
        lock.wait()
      }
    }
    used = group
    expected = order.next(after: group)
    lock.broadcast()
  }

  func release(_ group: Int) {
    lock.withLock {
      precondition(used == group, "another group is in use")
      used = nil
      lock.broadcast()
    }
  }

  func leave() {
    lock.lock()
    defer { lock.unlock() }
    precondition(used == nil, "a group is in use")
    expected = nil
    announced = nil
    while slots.contains(where: \.isBusy) { lock.wait() }
    slots = [Slot](repeating: Slot(), count: order.slots)
    arena.leave()
    ownReader.rest()
    lock.broadcast()
  }

  // MARK: The readers' side

  func startReader() {
    lock.withLock { runningReaders += 1 }
    let thread = Thread { [self] in
      let reader = BlockReader(direct: direct)
      lock.lock()
      while !isStopped {
        if let claim = claim() {
          perform(claim, with: reader)
        } else {
          if expected == nil { reader.rest() }
          lock.wait()
        }
      }
      runningReaders -= 1
      lock.broadcast()
      lock.unlock()
    }
    thread.name = "idefix reader"
    thread.start()
  }

  /// Ends the readers and returns when they are gone.
  func stop() {
    lock.lock()
    isStopped = true
    lock.broadcast()
    while runningReaders > 0 { lock.wait() }
    lock.unlock()
  }

  /// The next block to decode, or `nil` when none is wanted or all slots are full or busy.
  ///
  /// Called with the lock held.
  private func claim() -> Claim? {
    guard let expected else { return nil }
    for group in order.window(expected: expected, used: used).prefix(groupsAhead) {
      let slot = order.slot(of: group)
      var claim = Claim(group: group, block: slots[slot].claimed)
      if slots[slot].group != group {
        guard !slots[slot].isBusy else { continue }
        slots[slot] = Slot(group: group)
        let next = order.next(after: group)
        claim.block = 0
        claim.announces = announced == group ? [next] : [group, next]
        announced = next
      }
      guard slots[slot].failure == nil, slots[slot].claimed < groups[group].blocks.count else {
        continue
      }
      slots[slot].claimed += 1
      return claim
    }
    return nil
  }

  /// Decodes a claimed block.
  ///
  /// Called with the lock held, which it gives up meanwhile.
  private func perform(_ claim: Claim, with reader: BlockReader) {
    lock.unlock()
    // The disk works on the next group while the blocks of this one are decoded.
    for group in claim.announces where direct == nil {
      for block in groups[group].blocks { file.willRead(block) }
    }
    let placement = groups[claim.group]
    let slot = order.slot(of: claim.group)
    var failure: WeightFileError?
    do throws(WeightFileError) {
      try reader.decode(
        placement.blocks[claim.block],
        of: placement,
        from: file,
        into: arena,
        at: offsets[slot]
      )
    } catch {
      failure = error
    }
    statistics.add(reader.takeStatistics())
    lock.lock()
    slots[slot].done += 1
    slots[slot].failure = slots[slot].failure ?? failure
    if !slots[slot].isBusy { lock.broadcast() }
  }
}
