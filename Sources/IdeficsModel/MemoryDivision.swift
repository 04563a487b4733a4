// How a memory budget is divided: what the program and its scratch take is given, the cache gets what one
// full sequence needs, weights get the rest, and what they leave goes to the cache again.

/// Shares of a budget.
public struct MemoryDivision: Sendable, Hashable {
  /// What stays in memory of the weights.
  public let residency: ResidencyPlan
  /// Bytes for cached keys and values.
  public let cacheBytes: Int

  /// What a load needs besides weights.
  public struct Needs: Sendable, Hashable {
    /// Bytes of program and scratch.
    public var fixedBytes: Int
    /// Bytes of blocks on their way from the file to the decoder, when weights are streamed.
    public var readerBytes: Int
    /// Least bytes of cache: one sequence.
    public var leastCacheBytes: Int
    /// Bytes of cache beyond which there is no use for more.
    public var usefulCacheBytes: Int

    /// The needs of a load.
    public init(
      fixedBytes: Int,
      readerBytes: Int,
      leastCacheBytes: Int,
      usefulCacheBytes: Int
    ) {
      self.fixedBytes = fixedBytes
      self.readerBytes = readerBytes
      self.leastCacheBytes = leastCacheBytes
      self.usefulCacheBytes = usefulCacheBytes
    }
  }

  /// Divides `budget` bytes; `nil` when it is less than ``leastBudget(_:_:)``.
  public init?(budget: Int, weights: SectionInventory, needs: Needs) {
    let room = budget - needs.fixedBytes - needs.leastCacheBytes
    let everything = ResidencyPlan(everythingOf: weights)
    let fitting =
      everything.bytes <= room
      ? everything : ResidencyPlan(weights, room: room - needs.readerBytes)
    guard let plan = fitting else { return nil }
    residency = plan
    cacheBytes = min(
      needs.usefulCacheBytes,
      plan.isStreaming ? needs.leastCacheBytes : budget - needs.fixedBytes - plan.bytes
    )
  }

  /// The smallest budget that will do.
  public static func leastBudget(_ weights: SectionInventory, _ needs: Needs) -> Int {
    let streamed = ResidencyPlan.leastBytes(weights) + needs.readerBytes
    let everything = ResidencyPlan(everythingOf: weights).bytes
    return needs.fixedBytes + needs.leastCacheBytes + min(streamed, everything)
  }
}
