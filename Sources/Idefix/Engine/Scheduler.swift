// Which tokens the next step computes, and who has pages for it. Rules:
//   - First come, first served: only the head of the queue is admitted, once all its blocks fit.
//   - Every running stream gets its token in every step; prompts share what the pacer leaves, oldest first.
//   - When a stream needs a page and none is left, the sequence of the youngest request gives its pages up and goes back
//     to its place in the queue, its tokens kept: it is computed again later, with the same result. The oldest request
//     never gives way to another, so that every request ends.
//   - An answer that is alone and still finds no page ends there.
// Moves no numbers but for copy-on-write of a shared block.

import IdeficsModel

/// One sequence's part of a step.
struct PlannedSlice {
  let sequence: SequenceState
  /// Tokens of the sequence that are computed.
  let range: Range<Int>
  /// Drafted tokens after those of the sequence.
  let draft: [Int32]
  let logits: LogitSelection
}

/// Admission, batching, preemption.
///
/// Belongs to the engine thread.
final class Scheduler {
  private let model: any ForwardModel
  private let maxSequences: Int
  private let imagePages: Int
  /// Whether pages are made unreadable before they are given out, for tests.
  private let poisonsPages: Bool
  private(set) var pool: PagePool
  /// Sequences without blocks, oldest request first.
  private(set) var waiting: [SequenceState] = []
  /// Sequences with blocks, oldest request first.
  private(set) var running: [SequenceState] = []
  private(set) var preemptions = 0
  private var exhausted: [SequenceState] = []
  private var serial = 0
  var pacer = StepPacer()

  init(model: any ForwardModel, maxSequences: Int, poisonsPages: Bool) {
    self.poisonsPages = poisonsPages
    self.model = model
    self.maxSequences = max(1, min(maxSequences, model.tokensPerStep))
    imagePages = BlockLayout.imagePages(of: model)
    pool = PagePool(pages: model.pages)
  }

  /// Queues a sequence.
  func enqueue(_ sequence: SequenceState) {
    serial += 1
    sequence.serial = serial
    Self.insert(sequence, into: &waiting)
  }

  private static func insert(_ sequence: SequenceState, into list: inout [SequenceState]) {
    let place = list.lastIndex { $0.isOlder(than: sequence) }
    list.insert(sequence, at: place.map { $0 + 1 } ?? 0)
  }

  // MARK: Admission

  /// Admits sequences from the head of the queue while they fit; returns those that never can.
  func admit() -> [SequenceState] {
    var hopeless: [SequenceState] = []
    while running.count < maxSequences, let sequence = waiting.first {
      if admit(sequence) {
        waiting.removeFirst()
        Self.insert(sequence, into: &running)
      } else if running.isEmpty, !sequence.request.holdsImages {
        waiting.removeFirst()
        hopeless.append(sequence)
      } else {
        break
      }
    }
    return hopeless
  }

  /// Pages that a sequence needs if nothing of it is cached.
  func pagesNeeded(tokens: Int, images: Int) -> Int {
    (tokens + pageTokens - 1) / pageTokens * model.layers + images * imagePages
  }

  /// Most pages that the beams of a request can need; 0 without beams.
  func pagesNeeded(beamsOf request: RequestState) -> Int {
    let prepared = request.prepared
    guard let width = prepared.beams?.width else { return 0 }
    let shared = prepared.tokens.count / pageTokens
    let whole = (prepared.tokens.count + prepared.maxTokens + pageTokens - 1) / pageTokens
    // One more block for a copy that is being made.
    let blocks = shared + width * (whole - shared) + 1
    return blocks * model.layers + prepared.images.count * imagePages
  }

  private func admit(_ sequence: SequenceState) -> Bool {
    let found = findPrefix(of: sequence)
    let missing = sequence.images(from: found.count * pageTokens)
      .filter { sequence.request.images[$0].block == nil }
    let cachedImages = missing.filter { pool.contains(sequence.request.prepared.images[$0].key) }
    let blocks = (sequence.tokens.count + pageTokens - 1) / pageTokens - found.count
    // Cached images count as well: they become unavailable to others by being used.
    let needed = blocks * model.layers + missing.count * imagePages
    // Streams that run already shall find a block each before they have to preempt.
    let others = running.count { $0.request !== sequence.request }
    let reserve = others * model.layers
    guard pool.available >= needed + reserve else {
      for block in found.reversed() { pool.release(block) }
      return false
    }
    for image in cachedImages + missing.subtracting(cachedImages).sorted() {
      attachImage(image, to: sequence.request)
    }
    for block in found { sequence.append(block, pages: pool.pages(of: block)) }
    sequence.cachedCount = found.count * pageTokens
    sequence.publishedCount = found.count
    for _ in 0..<blocks { _ = grow(sequence) }
    let request = sequence.request
    request.receipt.cachedTokens = max(
      request.receipt.cachedTokens,
      min(sequence.cachedCount, request.prepared.tokens.count)
    )
    if request.clock.phase == \.queue { request.clock.enter(\.prefill, &request.receipt) }
    return true
  }

  /// Blocks of the longest cached prefix, retained.
  ///
  /// The last token is always computed: its logits are needed.
  private func findPrefix(of sequence: SequenceState) -> [BlockID] {
    let prepared = sequence.request.prepared
    guard prepared.usesPrefixCache else { return [] }
    // A token's score comes out of the row before it.
    let limit = prepared.promptLogprobs == nil ? Int.max : max(prepared.scoredFrom - 1, 0)
    let full = min((sequence.tokens.count - 1) / pageTokens, limit / pageTokens)
    var found: [BlockID] = []
    while found.count < full, let block = pool.find(sequence.key(ofBlock: found.count)) {
      found.append(block)
    }
    return found
  }

  private func attachImage(_ index: Int, to request: RequestState) {
    let key = request.prepared.images[index].key
    if request.prepared.usesPrefixCache, let block = pool.find(key) {
      setImage(index, of: request, block: block, isReady: true)
      request.receipt.cachedImages += 1
    } else if let block = allocate(pages: imagePages) {
      setImage(index, of: request, block: block, isReady: false)
    }
  }

  private func setImage(_ index: Int, of request: RequestState, block: BlockID, isReady: Bool) {
    request.images[index].block = block
    request.images[index].pages =
      isReady
      ? ImagePages(
        table: BlockLayout.imageTable(pool.pages(of: block), crossBlocks: model.crossBlocks),
        stateCount: model.imageStates
      ) : nil
  }

  /// Adds a fresh block at the end of a sequence.
  private func grow(_ sequence: SequenceState) -> Bool {
    guard let block = allocate(pages: model.layers) else { return false }
    sequence.append(block, pages: pool.pages(of: block))
    return true
  }

  private func allocate(pages count: Int) -> BlockID? {
    guard let block = pool.allocate(pages: count) else { return nil }
    if poisonsPages { for page in pool.pages(of: block) { model.poison(page) } }
    return block
  }

  // MARK: Images

  /// The next image to encode, of the oldest sequence that waits for one.
  func nextImage() -> (request: RequestState, index: Int, table: PageTable)? {
    for sequence in running {
      let request = sequence.request
      for index in request.images.indices where request.images[index].pages == nil {
        guard let block = request.images[index].block else { continue }
        // Another request may have encoded the same image meanwhile.
        if request.prepared.usesPrefixCache,
          let known = pool.find(request.prepared.images[index].key)
        {
          pool.release(block)
          setImage(index, of: request, block: known, isReady: true)
          request.receipt.cachedImages += 1
          continue
        }
        let pages = pool.pages(of: block)
        return (request, index, BlockLayout.imageTable(pages, crossBlocks: model.crossBlocks))
      }
    }
    return nil
  }

  /// Takes note that an image's block is complete.
  func imageIsEncoded(_ index: Int, of request: RequestState) {
    guard let block = request.images[index].block else { return }
    if request.prepared.usesPrefixCache {
      pool.publish(block, as: request.prepared.images[index].key)
    }
    setImage(index, of: request, block: block, isReady: true)
  }

  // MARK: Steps

  /// The slices of the next step; none if nothing can be computed.
  func plan() -> [PlannedSlice] {
    var slices: [PlannedSlice] = []
    var budget = model.tokensPerStep
    // Preemption takes from the end of `running`, so a sequence that is planned stays.
    var index = 0
    while index < running.count {
      let sequence = running[index]
      index += 1
      guard sequence.pendingCount == 1, isReady(sequence), budget > 0 else { continue }
      let draft = makeDraft(sequence, limit: budget - (running.count - index) - 1)
      guard makeRoom(for: sequence, tokens: 1 + draft.count) else { continue }
      let range = sequence.cachedCount..<sequence.tokens.count
      let needsAll = !draft.isEmpty
      slices.append(
        PlannedSlice(
          sequence: sequence,
          range: range,
          draft: draft,
          logits: needsAll ? .all : .last
        )
      )
      budget -= 1 + draft.count
    }
    var prefill = slices.isEmpty ? budget : pacer.chunk(limit: budget)
    for sequence in running where sequence.pendingCount > 1 && isReady(sequence) && prefill > 0 {
      let count = min(sequence.pendingCount, prefill)
      guard makeRoom(for: sequence, tokens: count) else { continue }
      let range = sequence.cachedCount..<(sequence.cachedCount + count)
      slices.append(
        PlannedSlice(
          sequence: sequence,
          range: range,
          draft: [],
          logits: selection(sequence, range)
        )
      )
      prefill -= count
    }
    return slices
  }

  private func selection(_ sequence: SequenceState, _ range: Range<Int>) -> LogitSelection {
    let request = sequence.request
    let scored = request.prepared.scoredFrom - 1..<request.prepared.tokens.count - 1
    if request.scoresPrompt, sequence.index == 0, sequence.answerCount == 0, range.overlaps(scored)
    {
      return .all
    }
    return range.upperBound == sequence.tokens.count ? .last : .none
  }

  private func makeDraft(_ sequence: SequenceState, limit: Int) -> [Int32] {
    let prepared = sequence.request.prepared
    guard prepared.speculates, prepared.beams == nil, sequence.answerCount > 0 else { return [] }
    let left = prepared.maxTokens - sequence.answerCount - 1
    return sequence.drafter.draft(limit: min(limit, left), tokenShare: pacer.tokenShare)
  }

  private func isReady(_ sequence: SequenceState) -> Bool {
    sequence.images(from: sequence.cachedCount)
      .allSatisfy { sequence.request.images[$0].pages != nil }
  }

  /// Makes the blocks of the next `tokens` tokens exist and be the sequence's own.
  ///
  /// Preempts younger sequences if need be; false if the sequence itself had to give way.
  private func makeRoom(for sequence: SequenceState, tokens: Int) -> Bool {
    let end = sequence.cachedCount + tokens
    let first = sequence.cachedCount / pageTokens
    while true {
      if ensureBlocks(sequence, first: first, end: end) { return true }
      guard let victim = running.last else { return false }
      if running.count == 1 {
        exhausted.append(sequence)
        return false
      }
      preempt(victim)
      if victim === sequence { return false }
    }
  }

  private func ensureBlocks(_ sequence: SequenceState, first: Int, end: Int) -> Bool {
    while sequence.blocks.count * pageTokens < end {
      guard grow(sequence) else { return false }
    }
    for index in first..<((end + pageTokens - 1) / pageTokens)
    where pool.isShared(sequence.blocks[index]) {
      guard let copy = allocate(pages: model.layers) else { return false }
      let pages = pool.pages(of: copy)
      for (old, new) in zip(pool.pages(of: sequence.blocks[index]), pages) {
        model.copyPage(from: old, to: new)
      }
      pool.release(sequence.blocks[index])
      sequence.replace(index, with: copy, pages: pages)
    }
    return true
  }

  /// Sequences that are alone and found no page for their next token, once.
  func takeExhausted() -> [SequenceState] {
    defer { exhausted = [] }
    return exhausted
  }

  /// Takes note that the first `count` tokens of a sequence are cached, and publishes full blocks.
  func advance(_ sequence: SequenceState, to count: Int) {
    sequence.cachedCount = count
    guard sequence.request.prepared.usesPrefixCache else { return }
    while (sequence.publishedCount + 1) * pageTokens <= count {
      let index = sequence.publishedCount
      pool.publish(sequence.blocks[index], as: sequence.key(ofBlock: index))
      sequence.publishedCount += 1
    }
  }

  // MARK: Keeping and restoring

  /// The pages of a named block.
  func pages(of key: ContentKey) -> [Int32]? {
    guard let block = pool.find(key) else { return nil }
    defer { pool.release(block) }
    return pool.pages(of: block)
  }

  /// Puts a block with this name and these contents into the cache, held until it is released.
  func restore(_ key: ContentKey, pages: [[UInt8]]) throws(EngineError) -> BlockID {
    if let block = pool.find(key) { return block }
    guard let block = pool.allocate(pages: pages.count) else {
      throw .outOfPages(needed: pages.count, available: pool.available)
    }
    for (page, bytes) in zip(pool.pages(of: block), pages) { model.setBytes(bytes, ofPage: page) }
    pool.publish(block, as: key)
    return block
  }

  /// Lets go of restored blocks, tail first.
  func release(_ blocks: [BlockID]) { for block in blocks.reversed() { pool.release(block) } }

  // MARK: Coming and going

  /// Adds a sequence that shares another's blocks; it waits its turn if the batch is full.
  func addFork(_ sequence: SequenceState) {
    guard running.count < maxSequences, !sequence.blocks.isEmpty else {
      sequence.dropBlocks()
      return enqueue(sequence)
    }
    for block in sequence.blocks { pool.retain(block) }
    serial += 1
    sequence.serial = serial
    Self.insert(sequence, into: &running)
  }

  /// Takes a sequence's blocks away; it will be computed again.
  func preempt(_ sequence: SequenceState) {
    releaseBlocks(of: sequence)
    running.removeAll { $0 === sequence }
    Self.insert(sequence, into: &waiting)
    preemptions += 1
    let request = sequence.request
    request.receipt.preemptions += 1
    releaseImages(of: request)
    if !running.contains(where: { $0.request === request }) {
      request.clock.enter(\.queue, &request.receipt)
    }
  }

  /// Removes a sequence for good.
  func remove(_ sequence: SequenceState) {
    releaseBlocks(of: sequence)
    running.removeAll { $0 === sequence }
    waiting.removeAll { $0 === sequence }
    releaseImages(of: sequence.request)
  }

  /// Tail first, so that a chain is taken back from its end.
  private func releaseBlocks(of sequence: SequenceState) {
    for block in sequence.blocks.reversed() { pool.release(block) }
    sequence.dropBlocks()
  }

  /// Images are held while a sequence of their request runs.
  private func releaseImages(of request: RequestState) {
    guard !running.contains(where: { $0.request === request }) else { return }
    for index in request.images.indices {
      if let block = request.images[index].block { pool.release(block) }
      request.images[index] = RequestState.Image()
    }
  }
}
