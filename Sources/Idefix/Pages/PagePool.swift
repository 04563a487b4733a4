// Who owns which page of the model's store, and what of it can be used again. Policy only: no bytes are moved here.
//
// A block is a set of unit pages that live and die together: 16 tokens of a sequence in every layer, or one image in
// every cross block. Invariants, checked by `checkInvariants`:
//   1. Each page is either free or in exactly one block.
//   2. A block with references is in use; one without is named and on the idle list exactly once, or it does not exist.
//   3. A name belongs to one block, and a named block knows its name.
//   4. A named block is never written to again: only owners of an unnamed block with one reference may write.
//   5. Idle blocks are taken back in the order in which they became idle; a chain is released tail first, so that
//      no block outlives the one it follows.

/// A block of pages.
package struct BlockID: Hashable, Sendable {
  fileprivate let index: Int
}

/// Allocation, sharing and reuse of pages under a fixed budget.
package struct PagePool {
  private struct Block {
    var pages: [Int32]
    var references: Int
    var key: ContentKey?
    /// Neighbours on the idle list, -1 at its ends.
    var previous = -1
    var next = -1
  }

  /// Pages in all.
  package let capacity: Int
  /// Pages in blocks that are in use.
  package private(set) var pagesInUse = 0
  /// Pages in blocks that wait for reuse.
  package private(set) var pagesIdle = 0

  /// Pages that were never used, from here on; they cost no memory yet.
  private var untouched: Int32 = 0
  private var free: [Int32] = []
  private var blocks: [Block?] = []
  private var freeIndices: [Int] = []
  private var named: [ContentKey: Int] = [:]
  private var idleHead = -1
  private var idleTail = -1

  /// A pool of `pages` pages, all free.
  package init(pages: Int) { capacity = pages }

  /// Pages that can be had: free ones and those of idle blocks.
  package var available: Int { capacity - pagesInUse }

  /// A new block with one reference, written by its owner only; `nil` if there are not enough pages.
  ///
  /// Takes back idle blocks, oldest first, as far as needed.
  package mutating func allocate(pages count: Int) -> BlockID? {
    precondition(count > 0, "a block without pages")
    guard count <= available else { return nil }
    while freeCount < count, idleHead >= 0 { destroy(idleHead) }
    var pages: [Int32] = []
    pages.reserveCapacity(count)
    for _ in 0..<count {
      if let page = free.popLast() {
        pages.append(page)
      } else {
        pages.append(untouched)
        untouched += 1
      }
    }
    pagesInUse += count
    let block = Block(pages: pages, references: 1, key: nil)
    guard let index = freeIndices.popLast() else {
      blocks.append(block)
      return BlockID(index: blocks.count - 1)
    }
    blocks[index] = block
    return BlockID(index: index)
  }

  /// The pages of a block.
  package func pages(of id: BlockID) -> [Int32] { self[id.index].pages }

  /// Whether others hold the block too, or may find it by its name: then it must not be written to.
  package func isShared(_ id: BlockID) -> Bool {
    self[id.index].references > 1 || self[id.index].key != nil
  }

  /// Adds a reference.
  package mutating func retain(_ id: BlockID) { self[id.index].references += 1 }

  /// Takes a reference away; the last one makes a named block idle and frees any other.
  package mutating func release(_ id: BlockID) {
    self[id.index].references -= 1
    precondition(self[id.index].references >= 0, "a block was released too often")
    guard self[id.index].references == 0 else { return }
    let count = self[id.index].pages.count
    pagesInUse -= count
    pagesIdle += count
    appendIdle(id.index)
    if self[id.index].key == nil { destroy(id.index) }
  }

  /// Names a block that is complete, so that it can be found; a name that is taken changes nothing.
  package mutating func publish(_ id: BlockID, as key: ContentKey) {
    guard named[key] == nil, self[id.index].key == nil else { return }
    named[key] = id.index
    self[id.index].key = key
  }

  /// The block of this name, with a reference added.
  package mutating func find(_ key: ContentKey) -> BlockID? {
    guard let index = named[key] else { return nil }
    if self[index].references == 0 {
      removeIdle(index)
      pagesIdle -= self[index].pages.count
      pagesInUse += self[index].pages.count
    }
    self[index].references += 1
    return BlockID(index: index)
  }

  /// Whether a block of this name is there; its age does not change.
  package func contains(_ key: ContentKey) -> Bool { named[key] != nil }

  /// Forgets every idle block.
  package mutating func dropIdle() {
    while idleHead >= 0 { destroy(idleHead) }
  }

  private var freeCount: Int { free.count + capacity - Int(untouched) }

  private subscript(index: Int) -> Block {
    get {
      guard let block = blocks[index] else { preconditionFailure("a block that does not exist") }
      return block
    }
    set { blocks[index] = newValue }
  }

  /// Takes an idle block apart.
  private mutating func destroy(_ index: Int) {
    removeIdle(index)
    pagesIdle -= self[index].pages.count
    free += self[index].pages
    if let key = self[index].key { named[key] = nil }
    blocks[index] = nil
    freeIndices.append(index)
  }

  private mutating func appendIdle(_ index: Int) {
    self[index].previous = idleTail
    self[index].next = -1
    if idleTail >= 0 { self[idleTail].next = index } else { idleHead = index }
    idleTail = index
  }

  private mutating func removeIdle(_ index: Int) {
    let (previous, next) = (self[index].previous, self[index].next)
    if previous >= 0 { self[previous].next = next } else { idleHead = next }
    if next >= 0 { self[next].previous = previous } else { idleTail = previous }
  }

  /// Names the first invariant that does not hold; `nil` if all do.
  ///
  /// - Complexity: O(pages); for tests.
  package func checkInvariants() -> String? {
    var owners = [Int](repeating: 0, count: capacity)
    for page in free { owners[Int(page)] += 1 }
    for page in Int(untouched)..<capacity { owners[page] += 1 }
    for block in blocks.compactMap({ $0 }) { for page in block.pages { owners[Int(page)] += 1 } }
    guard owners.allSatisfy({ $0 == 1 }) else { return "a page has no owner or two" }
    var idle: [Int] = []
    var index = idleHead
    while index >= 0, idle.count <= blocks.count {
      idle.append(index)
      index = self[index].next
    }
    let expected = blocks.indices.filter { blocks[$0]?.references == 0 }
    guard idle.sorted() == expected else { return "the idle list is wrong" }
    guard idle.allSatisfy({ self[$0].key != nil }) else { return "an idle block has no name" }
    for (key, index) in named where blocks[index]?.key != key { return "a name is wrong" }
    guard blocks.count(where: { $0?.key != nil }) == named.count else { return "a name is lost" }
    let counts = blocks.compactMap { $0 }.reduce(into: (used: 0, idle: 0)) {
      if $1.references > 0 { $0.used += $1.pages.count } else { $0.idle += $1.pages.count }
    }
    return counts == (pagesInUse, pagesIdle) ? nil : "a count is wrong"
  }
}
