// Byte-pair merging of long runs: a linked list of tokens and a queue of candidate merges, in
// O(n log n). A candidate is `rank << 32 | position`, so equal ranks go left to right. Candidates are
// not removed when a merge elsewhere changes their pair; they are recognised when they come up.
//
// The queue is a sorted batch and a heap of later arrivals. Those mostly rank after the batch: when
// it is used up they become the next one, and few are ever taken from the heap.

/// Merges runs of many tokens; keeps its scratch space between them.
struct LongRunMerger {
  /// Position of the next and the previous token of the run; -1 past either end.
  private var next: [Int32] = []
  private var previous: [Int32] = []
  /// The merge of each token with the next one; rank `none` for tokens that are gone.
  private var merges: [MergeTable.Merge] = []
  /// Candidates, smallest first; those before `batchStart` are done.
  private var batch: [UInt64] = []
  private var batchStart = 0
  /// Candidates that came up since, as a binary heap, smallest first.
  private var heap: [UInt64] = []

  /// Merges `run`, of fewer than 2^31 tokens, in place.
  mutating func merge(_ run: inout [TokenID], with table: MergeTable) {
    prepare(run, table)
    while let candidate = nextCandidate() {
      let position = Int(candidate & 0xffff_ffff)
      guard merges[position].rank == UInt32(candidate >> 32) else { continue }
      let gone = Int(next[position])
      run[position] = merges[position].token
      next[position] = next[gone]
      merges[gone].rank = MergeTable.Merge.none
      if next[gone] >= 0 { previous[Int(next[gone])] = Int32(position) }
      update(position, run, table)
      if previous[position] >= 0 { update(Int(previous[position]), run, table) }
    }
    var position = 0
    var count = 0
    while position >= 0 {
      run[count] = run[position]
      count += 1
      position = Int(next[position])
    }
    run.removeSubrange(count...)
  }

  private mutating func prepare(_ run: [TokenID], _ table: MergeTable) {
    next.removeAll(keepingCapacity: true)
    previous.removeAll(keepingCapacity: true)
    merges.removeAll(keepingCapacity: true)
    batch.removeAll(keepingCapacity: true)
    batchStart = 0
    let nothing = MergeTable.Merge(rank: MergeTable.Merge.none, token: 0)
    for index in run.indices {
      let isLast = index + 1 == run.count
      previous.append(Int32(index) - 1)
      next.append(isLast ? -1 : Int32(index) + 1)
      merges.append(isLast ? nothing : table.merge(run[index], run[index + 1]))
      if merges[index].rank != MergeTable.Merge.none { batch.append(candidate(index)) }
    }
    batch.sort()
  }

  /// Looks up the merge of the token at `position` with its new neighbour.
  private mutating func update(_ position: Int, _ run: [TokenID], _ table: MergeTable) {
    guard next[position] >= 0 else {
      merges[position].rank = MergeTable.Merge.none
      return
    }
    merges[position] = table.merge(run[position], run[Int(next[position])])
    if merges[position].rank != MergeTable.Merge.none { push(candidate(position)) }
  }

  private func candidate(_ position: Int) -> UInt64 {
    UInt64(merges[position].rank) << 32 | UInt64(position)
  }

  private mutating func nextCandidate() -> UInt64? {
    if batchStart == batch.count {
      swap(&batch, &heap)
      heap.removeAll(keepingCapacity: true)
      batch.sort()
      batchStart = 0
    }
    guard batchStart < batch.count else { return nil }
    if let late = heap.first, late < batch[batchStart] { return popSmallest() }
    batchStart += 1
    return batch[batchStart - 1]
  }

  private mutating func push(_ entry: UInt64) {
    heap.append(entry)
    siftUp(entry)
  }

  private mutating func popSmallest() -> UInt64? {
    guard let last = heap.popLast() else { return nil }
    guard let smallest = heap.first else { return last }
    siftDown(last)
    return smallest
  }

  /// Puts `entry` in place of the top, or as far down from it as it belongs.
  private mutating func siftDown(_ entry: UInt64) {
    var heap = heap.mutableSpan
    var open = 0
    while true {
      var child = 2 * open + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
      guard heap[child] < entry else { break }
      heap[open] = heap[child]
      open = child
    }
    heap[open] = entry
  }

  /// Puts `entry` at the end, or as far up from it as it belongs.
  private mutating func siftUp(_ entry: UInt64) {
    var heap = heap.mutableSpan
    var open = heap.count - 1
    while open > 0, entry < heap[(open - 1) / 2] {
      heap[open] = heap[(open - 1) / 2]
      open = (open - 1) / 2
    }
    heap[open] = entry
  }
}
