// How much memory cached keys and values get: what the budget leaves after the weights, or a quarter of the machine,
// and never more than the batch can use. Refuses a budget that cannot hold the weights and one full context.

import Foundation
import IdeficsModel
import Kernels

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

  /// Plans from headers alone.
  package init(
    configuration: Configuration,
    weightBytes: Int,
    options: EngineOptions
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
    let budget = options.cacheBytes ?? Self.budget(weightBytes, options)
    pages = min(useful, budget / pageBytes, Int(Int32.max))
    let least = (contextPages + imagePages) * pageBytes
    guard pages * pageBytes >= min(least, useful * pageBytes) else {
      throw .memoryBudget(
        needed: weightBytes + Self.scratchBytes + least,
        budget: options.memory ?? budget
      )
    }
  }

  /// Activations, tables, the program itself.
  private static let scratchBytes = 256 << 20

  private static func imagesKept(_ sequences: Int) -> Int { max(64, 4 * sequences) }

  private static func budget(_ weightBytes: Int, _ options: EngineOptions) -> Int {
    guard let memory = options.memory else {
      return Int(clamping: ProcessInfo.processInfo.physicalMemory / 4)
    }
    return max(0, memory - weightBytes - scratchBytes)
  }
}
