// Many items at a time through one engine: the engine batches what is in flight. Results are stored in the order of
// completion, at once.

/// Keeps results by item.
public protocol ResultStore<Record>: AnyObject {
  /// What is kept.
  associatedtype Record: Sendable
  /// Whether an item has a result already.
  func contains(_ id: String) -> Bool
  /// Keeps a result.
  func append(_ record: Record, id: String) throws(EvaluationError)
}

/// Runs work over items, several at a time.
public struct EvaluationRunner: Sendable {
  /// Items in flight.
  public var inFlight: Int
  /// Told how many of all items are done.
  public var progress: @Sendable (_ done: Int, _ total: Int) -> Void

  /// A runner.
  public init(
    inFlight: Int,
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) {
    self.inFlight = max(1, inFlight)
    self.progress = progress
  }

  /// Does `work` for each item that the store does not have yet.
  ///
  /// - Parameters:
  ///   - items: What to do.
  ///   - id: Names an item in the store; unique.
  ///   - store: Takes the results.
  ///   - work: Does it for the item at an index.
  /// - Throws: The first failure; what is in flight is cancelled.
  public func run<Item: Sendable, Store: ResultStore>(
    _ items: [Item],
    id: (Item) -> String,
    store: Store,
    work: @escaping @Sendable (_ index: Int, _ item: Item) async throws -> Store.Record
  ) async throws {
    let open = items.indices.filter { !store.contains(id(items[$0])) }
    var done = items.count - open.count
    progress(done, items.count)
    try await withThrowingTaskGroup(of: (Int, Store.Record).self) { group in
      var next = open.makeIterator()
      func start() {
        guard let index = next.next() else { return }
        let item = items[index]
        group.addTask { (index, try await work(index, item)) }
      }
      for _ in 0..<inFlight { start() }
      while let (index, record) = try await group.next() {
        try store.append(record, id: id(items[index]))
        done += 1
        progress(done, items.count)
        start()
      }
    }
  }
}
