// Attention over pages: self-attention, cross-attention, the vision tower and the resampler all use
// the same two operations.

import KernelCore
import Tensors

/// Consecutive queries that see one sequence of keys.
public struct AttentionSpan: Sendable {
  /// Rows of the query matrix.
  public var queryRows: Range<Int>
  /// Page numbers of the sequence: key t is slot `t % 16` of page `pages[t / 16]`.
  public var pages: [Int32]
  /// Keys visible to the last query; 0 makes every output row zero.
  public var keyCount: Int
  /// Whether query i of n sees `keyCount − (n − 1 − i)` keys rather than all of them.
  public var isCausal: Bool

  /// A span.
  public init(queryRows: Range<Int>, pages: [Int32], keyCount: Int, isCausal: Bool) {
    self.queryRows = queryRows
    self.pages = pages
    self.keyCount = keyCount
    self.isCausal = isCausal
  }
}

extension ComputeContext {
  /// Writes rows of keys and values as tokens `start…` of a sequence: token t goes to slot `t % 16`
  /// of page `pages[t / 16]`.
  ///
  /// `keys [T, …]` has heads from column `keyColumn` on, `values` from `valueColumn` on; `pages` are
  /// the page numbers of the sequence from its first token on.
  public func store(
    keys: borrowing Matrix,
    keyColumn: Int,
    values: borrowing Matrix,
    valueColumn: Int,
    rows: Range<Int>,
    into cache: PageStore,
    pages: [Int32],
    at start: Int
  ) {
    checkHeads(keys.columns, keyColumn, cache.heads, cache.headDim)
    checkHeads(values.columns, valueColumn, cache.heads, cache.headDim)
    precondition(
      rows.lowerBound >= 0 && rows.upperBound <= keys.rows && rows.upperBound <= values.rows,
      "rows outside the matrices"
    )
    precondition(start >= 0 && start + rows.count <= pages.count * 16, "tokens beyond the pages")
    precondition(pages.allSatisfy { $0 >= 0 && Int($0) < cache.pages }, "page outside the store")
    guard !rows.isEmpty else { return }
    pages.withUnsafeBufferPointer { pages in
      guard let pages = pages.baseAddress else { return }
      let a = StoreArguments(
        keys: UnsafePointer(keys.storage.baseAddress + rows.lowerBound * keys.columns + keyColumn),
        keyStride: keys.columns,
        values: UnsafePointer(
          values.storage.baseAddress + rows.lowerBound * values.columns + valueColumn
        ),
        valueStride: values.columns,
        tokens: rows.count,
        start: start,
        pages: pages,
        base: cache.base,
        geometry: cache.geometry
      )
      let grain = 8192 / (rows.count * cache.headDim)
      parallel(cache.heads, grain: grain) { kernels.store(a, $0, $1) }
    }
  }

  /// `out[i] = Σ_t softmax_t(scale · q[i] · k[t]) v[t]` for each head, over the keys that query i
  /// sees.
  ///
  /// `q [T, …]` has heads from column `column` on. `spans` are disjoint runs of query rows with
  /// their sequences; rows of `out [T, heads·headDim]` that none covers are left as they are.
  public func attention(
    _ q: borrowing Matrix,
    column: Int,
    scale: Float,
    spans: [AttentionSpan],
    cache: PageStore,
    into out: inout Matrix
  ) {
    let g = cache.geometry
    checkHeads(q.columns, column, g.heads, g.headDim)
    precondition(out.columns == g.heads * g.headDim, "columns of out are not the heads")
    out.resize(rows: q.rows)
    for span in spans {
      precondition(
        span.queryRows.lowerBound >= 0 && span.queryRows.upperBound <= q.rows,
        "queries outside the matrix"
      )
      precondition(
        span.keyCount >= 0 && span.keyCount <= span.pages.count * 16,
        "keys beyond the pages"
      )
      precondition(
        span.pages.allSatisfy { $0 >= 0 && Int($0) < cache.pages },
        "page outside the store"
      )
    }
    let a = AttentionArguments(
      q: UnsafePointer(q.storage.baseAddress + column),
      qStride: q.columns,
      out: out.storage.baseAddress,
      outStride: out.columns,
      scale: scale,
      base: UnsafeRawPointer(cache.base),
      geometry: g
    )
    let pages = spans.flatMap { $0.pages }
    pages.withUnsafeBufferPointer { pages in
      // An empty table is never read; any address will do.
      let table = pages.baseAddress ?? UnsafePointer(bitPattern: 4)
      guard let table else { return }
      let units = units(spans, heads: g.heads, pages: table)
      run(a, units)
    }
    withExtendedLifetime(cache) {}
  }

  /// Cuts spans into units: up to 16 queries of one head, the longest of a head first; or one query
  /// of several adjacent heads, whose pages are read as longer runs.
  private func units(
    _ spans: [AttentionSpan],
    heads: Int,
    pages: UnsafePointer<Int32>
  ) -> [AttentionUnit] {
    let single = spans.count { $0.queryRows.count == 1 }
    // As few parts of a sequence as keep all threads equally busy.
    var parts = 1
    while parts < heads, single * parts < threads * 4, single * parts % threads != 0 { parts += 1 }
    let width = (heads + parts - 1) / parts
    var units: [AttentionUnit] = []
    var firstPage = 0
    for span in spans {
      let count = span.queryRows.count
      let step = span.isCausal ? 1 : 0
      let run = count == 1 ? width : 1
      for head in stride(from: 0, to: heads, by: run) {
        for first in stride(from: 0, to: count, by: AttentionUnit.width).reversed() {
          units.append(
            AttentionUnit(
              row: span.queryRows.lowerBound + first,
              queries: min(AttentionUnit.width, count - first),
              head: head,
              heads: min(run, heads - head),
              keys: span.keyCount - (count - 1 - first) * step,
              step: step,
              pages: pages + firstPage
            )
          )
        }
      }
      firstPage += span.pages.count
    }
    return units
  }

  private func run(_ a: AttentionArguments, _ units: [AttentionUnit]) {
    let bytes = units.reduce(0) { max($0, a.scratchBytes($1)) }
    let stride = (bytes + 127) / 64 * 64
    let scratch = threadScratch.reserve(threads * stride)
    let grain = max(1, (units.count + ThreadPool.maximumChunks - 1) / ThreadPool.maximumChunks)
    pool.run((units.count + grain - 1) / grain) { chunk, thread in
      let floats = (scratch + thread * stride).assumingMemoryBound(to: Float.self)
      for index in (chunk * grain)..<min((chunk + 1) * grain, units.count) {
        kernels.attend(a, units[index], floats)
      }
    }
  }
}
