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

/// Consecutive rows that become tokens `start…` of one sequence.
public struct StoreSpan: Sendable {
  /// Rows of the matrices of keys and values.
  public var rows: Range<Int>
  /// Page numbers of the sequence from its first token on: token t goes to slot `t % 16` of page
  /// `pages[t / 16]`.
  public var pages: [Int32]
  /// Position of the first row.
  public var start: Int

  /// A span.
  public init(rows: Range<Int>, pages: [Int32], start: Int) {
    self.rows = rows
    self.pages = pages
    self.start = start
  }
}

extension ComputeContext {
  /// Writes rows of keys and values into the pages of their sequences.
  ///
  /// `keys [T, …]` has heads from column `keyColumn` on, `values` from `valueColumn` on.
  public func store(
    keys: borrowing Matrix,
    keyColumn: Int,
    values: borrowing Matrix,
    valueColumn: Int,
    spans: [StoreSpan],
    into cache: PageStore
  ) {
    checkHeads(keys.columns, keyColumn, cache.heads, cache.headDim)
    checkHeads(values.columns, valueColumn, cache.heads, cache.headDim)
    for span in spans {
      precondition(
        span.rows.lowerBound >= 0 && span.rows.upperBound <= min(keys.rows, values.rows),
        "rows outside the matrices"
      )
      precondition(
        span.start >= 0 && span.start + span.rows.count <= span.pages.count * 16,
        "tokens beyond the pages"
      )
    }
    // Of each table only the pages that are written: in a long context the others are many.
    let pages = spans.map { span in
      let slots = (span.start % 16) + span.rows.count
      return span.pages[(span.start / 16)...].prefix((slots + 15) / 16)
    }
    let table = pages.flatMap { $0 }
    precondition(table.allSatisfy { $0 >= 0 && Int($0) < cache.pages }, "page outside the store")
    table.withUnsafeBufferPointer { table in
      guard var first = table.baseAddress else { return }
      var units: [(a: StoreArguments, lower: Int, upper: Int)] = []
      for (span, pages) in zip(spans, pages) {
        let rows = span.rows
        let a = StoreArguments(
          keys: UnsafePointer(
            keys.storage.baseAddress + rows.lowerBound * keys.columns + keyColumn
          ),
          keyStride: keys.columns,
          values: UnsafePointer(
            values.storage.baseAddress + rows.lowerBound * values.columns + valueColumn
          ),
          valueStride: values.columns,
          tokens: rows.count,
          start: span.start % 16,
          pages: first,
          base: cache.base,
          geometry: cache.geometry
        )
        // Some microseconds of work each.
        let heads = max(1, 2048 / (max(1, rows.count) * cache.headDim))
        for lower in stride(from: 0, to: cache.heads, by: heads) {
          units.append((a, lower, min(lower + heads, cache.heads)))
        }
        first += pages.count
      }
      parallel(units.count, grain: 1) { first, end in
        for unit in units[first..<end] { kernels.store(unit.a, unit.lower, unit.upper) }
      }
    }
    withExtendedLifetime(cache) {}
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
