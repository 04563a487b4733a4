import Idefix
import TestSupport
import Testing

@Suite struct PagePoolTests {
  private struct NoPages: Error {}

  private func allocate(_ pages: Int, in pool: inout PagePool) throws -> BlockID {
    guard let block = pool.allocate(pages: pages) else { throw NoPages() }
    return block
  }

  private func key(_ value: Int32) -> ContentKey {
    ContentKey.root(tenant: "test").followed(by: [value], images: [nil])
  }

  @Test func pagesAreNeverSharedByTwoBlocks() throws {
    var pool = PagePool(pages: 10)
    let first = try allocate(4, in: &pool)
    let second = try allocate(6, in: &pool)
    #expect(Set(pool.pages(of: first) + pool.pages(of: second)).count == 10)
    #expect(throws: NoPages.self) { try allocate(1, in: &pool) }
    pool.release(first)
    #expect(pool.available == 4)
    #expect(throws: NoPages.self) { try allocate(5, in: &pool) }
    _ = try allocate(4, in: &pool)
    #expect(pool.checkInvariants() == nil)
  }

  @Test func idleBlocksAreFoundUntilTheyAreTakenBackOldestFirst() throws {
    var pool = PagePool(pages: 4)
    for value in Int32(0)..<4 {
      let block = try allocate(1, in: &pool)
      pool.publish(block, as: key(value))
      pool.release(block)
    }
    #expect(pool.available == 4 && pool.pagesIdle == 4)
    // Using a block makes it the youngest.
    let used = pool.find(key(0))
    pool.release(try #require(used))
    let fresh = try allocate(2, in: &pool)
    #expect(!pool.contains(key(1)) && !pool.contains(key(2)))
    #expect(pool.contains(key(0)) && pool.contains(key(3)))
    pool.release(fresh)
    pool.dropIdle()
    #expect(pool.available == 4 && pool.pagesIdle == 0 && !pool.contains(key(0)))
    #expect(pool.checkInvariants() == nil)
  }

  @Test func aNameBelongsToOneBlock() throws {
    var pool = PagePool(pages: 4)
    let first = try allocate(1, in: &pool)
    let second = try allocate(1, in: &pool)
    #expect(!pool.isShared(first))
    pool.publish(first, as: key(7))
    pool.publish(second, as: key(7))
    #expect(pool.isShared(first) && !pool.isShared(second))
    let found = pool.find(key(7))
    #expect(found == first)
    pool.release(second)
    pool.release(first)
    #expect(pool.pagesInUse == 1 && pool.pagesIdle == 0)
    pool.release(first)
    #expect(pool.pagesInUse == 0 && pool.pagesIdle == 1)
    #expect(pool.checkInvariants() == nil)
  }

  /// Random operations against a plain model of who holds what.
  @Test(arguments: [1, 2, 3, 4, 5, 6, 7, 8] as [UInt64])
  func invariantsHoldUnderRandomOperations(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    var pool = PagePool(pages: 24)
    var held: [(block: BlockID, pages: [Int32])] = []
    for step in 0..<2000 {
      let place = held.isEmpty ? 0 : Int.random(in: held.indices, using: &generator)
      switch Int.random(in: 0..<6, using: &generator) {
      case 0, 1:
        let count = Int.random(in: 1...5, using: &generator)
        let available = pool.available
        let block = pool.allocate(pages: count)
        #expect((block != nil) == (count <= available))
        if let block { held.append((block, pool.pages(of: block))) }
      case 2 where !held.isEmpty:
        pool.release(held.remove(at: place).block)
      case 3 where !held.isEmpty:
        pool.publish(held[place].block, as: key(Int32.random(in: 0..<12, using: &generator)))
      case 4:
        if let block = pool.find(key(Int32.random(in: 0..<12, using: &generator))) {
          held.append((block, pool.pages(of: block)))
        }
      case 5 where !held.isEmpty:
        pool.retain(held[place].block)
        held.append(held[place])
      default: break
      }
      // What is held keeps its pages, and no page is held through two blocks.
      for (block, pages) in held { #expect(pool.pages(of: block) == pages) }
      let distinct = Dictionary(held.map { ($0.block, $0.pages) }) { first, _ in first }
      let pages = distinct.values.flatMap { $0 }
      #expect(Set(pages).count == pages.count && pool.pagesInUse == pages.count)
      #expect(pool.checkInvariants() == nil, "seed \(seed) step \(step)")
    }
    for (block, _) in held { pool.release(block) }
    #expect(pool.pagesInUse == 0 && pool.available == 24)
  }
}

@Suite struct ContentKeyTests {
  private let image = ContentKey.image(digest: .digest(pixels: [1, 2, 3], side: 1), tenant: "")

  @Test func everyPartOfAKeyMatters() {
    let root = ContentKey.root(tenant: "")
    let keys = [
      root,
      .root(tenant: "a"),
      .image(digest: .digest(pixels: [1, 2, 3], side: 1), tenant: ""),
      .image(digest: .digest(pixels: [1, 2, 3], side: 3), tenant: ""),
      .image(digest: .digest(pixels: [1, 2, 3], side: 1), tenant: "a"),
      .image(digest: .digest(pixels: [1, 2, 3.000_000_2], side: 1), tenant: ""),
      .image(digest: .digest(pixels: [1, 2, -0.0], side: 1), tenant: ""),
      .image(digest: .digest(pixels: [1, 2, 0.0], side: 1), tenant: ""),
      root.followed(by: [1, 2], images: [nil, nil]),
      root.followed(by: [1, 2], images: [nil, image]),
      root.followed(by: [1, 2], images: [image, image]),
      root.followed(by: [2, 1], images: [nil, nil]),
      root.followed(by: [1, 2, 3], images: [nil, nil, nil]),
      root.followed(by: [1], images: [nil]).followed(by: [2], images: [nil]),
      ContentKey.root(tenant: "a").followed(by: [1, 2], images: [nil, nil]),
    ]
    #expect(Set(keys).count == keys.count)
    #expect(root.followed(by: [1], images: [image]) == root.followed(by: [1], images: [image]))
    #expect(Set(keys.map(\.bytes)).count == keys.count && root.bytes.count == 32)
  }
}
