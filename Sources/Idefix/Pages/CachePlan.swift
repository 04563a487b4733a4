// How much memory cached keys and values get: what the budget leaves after the weights, or a quarter of the machine,
// and never more than the batch can use. Refuses a budget that cannot hold one full context beside streamed weights.

import Foundation
import IdeficsModel
import Kernels
import WeightFiles

/// The sizes an engine plans with.
package struct CachePlan: Sendable, Equatable {
  /// Tokens a sequence may have.
  package let contextTokens: Int
  /// Tokens a step may carry.
  package let tokensPerStep: Int
  /// Unit pages.
  package let pages: Int
  /// Bytes of one unit page.
  package let pageBytes: Int
  /// What stays in memory of the weights.
  package let residency: ResidencyPlan

  /// Plans from headers alone.
  package init(
    configuration: Configuration,
    file: IdfxFile,
    options: EngineOptions,
    threads: Int
  ) throws(EngineError) {
    guard options.maxSequences > 0, options.maxSequences <= 1024 else {
      throw .invalidParameter(name: "max_sequences", reason: "must be >= 1 and <= 1024")
    }
    guard options.tokensPerStep > 0, options.tokensPerStep <= 1 << 16 else {
      throw .invalidParameter(name: "tokens_per_step", reason: "must be >= 1 and <= 65536")
    }
    contextTokens = options.contextTokens ?? configuration.maxPositions
    guard contextTokens > 1, contextTokens <= 1 << 20 else {
      throw .invalidParameter(name: "context", reason: "must be >= 2 and <= 1048576")
    }
    tokensPerStep = max(options.tokensPerStep, options.maxSequences)
    pageBytes = max(
      1,
      PageStore.bytesPerPage(
        heads: configuration.heads,
        headDim: configuration.headDim,
        element: KVElement(options.cacheElement)
      )
    )
    let contextPages = (contextTokens + pageTokens - 1) / pageTokens * configuration.layers
    let imagePages =
      (configuration.imageStates + pageTokens - 1) / pageTokens * configuration.crossBlocks
    let useful =
      options.maxSequences * contextPages + Self.imagesKept(options.maxSequences) * imagePages
    let least = min(contextPages + imagePages, useful)
    guard let memory = options.memory else {
      residency = ResidencyPlan(
        withoutBudget: SectionInventory(configuration: configuration, file: file)
      )
      let cache =
        options.cacheBytes ?? Int(clamping: ProcessInfo.processInfo.physicalMemory / 4)
      pages = min(useful, cache / pageBytes, Int(Int32.max))
      guard pages >= least else {
        throw .memoryBudget(needed: least * pageBytes, budget: cache)
      }
      return
    }
    var load = MemoryLedger.Load(context: contextTokens, pageBytes: pageBytes)
    load.tokensPerStep = tokensPerStep
    load.logitRows = tokensPerStep
    load.decodingThreads = FileWeights.decodingThreads(of: threads)
    let ledger = MemoryLedger(file: file, configuration: configuration, load: load)
    var needs = ledger.needs
    needs.leastCacheBytes = max(options.cacheBytes ?? 0, least * pageBytes)
    needs.usefulCacheBytes = min(options.cacheBytes ?? .max, useful * pageBytes)
    guard
      let division = MemoryDivision(budget: memory, weights: ledger.inventory, needs: needs)
    else {
      throw .memoryBudget(
        needed: MemoryDivision.leastBudget(ledger.inventory, needs),
        budget: memory
      )
    }
    residency = division.residency
    pages = min(division.cacheBytes / pageBytes, Int(Int32.max))
  }

  private static func imagesKept(_ sequences: Int) -> Int { max(64, 4 * sequences) }
}
