// How the row tiles of products are shared out to threads.

import KernelCore

/// The row tiles of several products, one behind the other, cut into chunks that grow smaller from both ends on.
///
/// Memory streams best in long runs, and threads, which claim chunks from either end, should end together: each
/// chunk is a share of what is left, down to a size that still outweighs the claim of a chunk.
struct RowChunks {
  /// First tile of each product, then their number.
  private var products = [0]
  /// First tile of each chunk, then the number of tiles.
  private var bounds = [0]

  /// Chunks of `jobs`, which have the same activations and take panels from `panelTokens` tokens on.
  init(_ jobs: [LinearArguments], threads: Int, panelTokens: Int) {
    var bytes = 0
    for job in jobs {
      let tiles = (job.rows + 15) / 16
      products.append(products[products.count - 1] + tiles)
      bytes += tiles * job.tileBytes
    }
    let all = products[products.count - 1]
    let tileBytes = max(1, bytes / max(all, 1))
    let tokens = jobs.first?.tokens ?? 0
    let (least, most, unit): (Int, Int, Int)
    if tokens >= panelTokens {
      // Whole groups of panels, which share the reading of activations, down to two row tiles.
      (least, most, unit) = (2, 2 * LinearScratch.panelRowTiles, 2)
    } else if tokens > TokenTiles.limit {
      // Work enough in any tile, but as tokens pass in several turns weights should stay in the second-level
      // cache; whole groups of tiles, which share the reading of activations.
      let fitting = max(1, (448 << 10) / tileBytes)
      let group = min(LinearScratch.rowTiles, fitting)
      (least, most, unit) = (1, fitting / group * group, 1)
    } else {
      // Few tokens: some 10 microseconds of reading.
      (least, most, unit) = ((256 << 10) / tileBytes, all, 1)
    }
    let shares = threads * 2
    let floor = max(1, min(least, all / shares), all / ThreadPool.maximumChunks + 1)
    var (lower, upper) = (0, all)
    var ends: [Int] = []
    while lower < upper {
      let share = min(most, (upper - lower) / shares) / unit * unit
      let size = min(upper - lower, max(floor, share))
      // In turns: a chunk from the lower end, one from the upper.
      if bounds.count == ends.count + 1 {
        lower += size
        bounds.append(lower)
      } else {
        ends.append(upper)
        upper -= size
      }
    }
    bounds += ends.reversed()
  }

  /// Number of chunks.
  var count: Int { bounds.count - 1 }

  /// Calls `body(product, lower, upper)` for the row tiles of a chunk, product by product.
  func forEachRun(of chunk: Int, _ body: (Int, Int, Int) -> Void) {
    for product in 0..<(products.count - 1) {
      let lower = max(bounds[chunk], products[product])
      let upper = min(bounds[chunk + 1], products[product + 1])
      if lower < upper { body(product, lower - products[product], upper - products[product]) }
    }
  }
}
