// Attention over pages: against a Float64 softmax, and bit by bit over instruction sets, threads,
// page orders and the way in which a sequence was cut.

import Foundation
import Kernels
import Tensors
import TestSupport
import Testing

private struct Case: Sendable, CustomTestStringConvertible {
  var heads: Int
  var headDim: Int
  var keys: Int
  var element: KVElement
  var isCausal: Bool

  var testDescription: String {
    "\(heads)×\(headDim), \(keys) keys, \(element.rawValue)\(isCausal ? ", causal" : "")"
  }

  static let all: [Case] = KVElement.allCases.flatMap { element in
    [(2, 128, 70), (3, 80, 33), (1, 96, 16), (2, 8, 1), (1, 24, 47)].flatMap { shape in
      [false, true].map {
        Case(heads: shape.0, headDim: shape.1, keys: shape.2, element: element, isCausal: $0)
      }
    }
  }

  /// Scores of about ten between the largest queries and keys.
  static let scale: Float = 0.0005

  var width: Int { heads * headDim }

  /// One head of a key or value as a page holds it.
  func stored(_ values: [Float]) -> [Double] {
    switch element {
    case .f32: return values.map(Double.init)
    case .f16: return values.map { Double(Float16($0)) }
    case .int8:
      let top = values.map(\.magnitude).max() ?? 0
      let inverse = top > 0 ? 127 / top : 0
      return values.map { Double(($0 * inverse).rounded(.toNearestOrEven)) * Double(top / 127) }
    }
  }

  /// Page numbers in an order that is not that of the sequence.
  func pages(_ count: Int) -> [Int32] { (0..<Int32(count)).map { ($0 * 5 + 3) % 11 } }

  var pageTable: [Int32] { pages((keys + 15) / 16) }

  func store(_ context: ComputeContext, chunk: Int, pages: [Int32]) throws -> PageStore {
    let store = try PageStore(pages: 11, heads: heads, headDim: headDim, element: element)
    for page in 0..<11 { store.poison(Int32(page)) }
    let k = sample(rows: keys, columns: width + 3, seed: 100)
    let v = sample(rows: keys, columns: width, seed: 101)
    for first in stride(from: 0, to: keys, by: chunk) {
      context.store(
        keys: k,
        keyColumn: 3,
        values: v,
        valueColumn: 0,
        spans: [StoreSpan(rows: first..<min(first + chunk, keys), pages: pages, start: first)],
        into: store
      )
    }
    return store
  }

  /// Results of the last `queries` tokens of the sequence, `batch` at a time, which was stored in chunks.
  func results(
    _ context: ComputeContext,
    queries: Int,
    batch: Int,
    chunk: Int = 7,
    pages: [Int32]? = nil
  ) throws -> [Float] {
    let pages = pages ?? pageTable
    let cache = try store(context, chunk: chunk, pages: pages)
    let q = sample(rows: queries, columns: width + 5, seed: 102)
    var out: [Float] = []
    for first in stride(from: 0, to: queries, by: batch) {
      let last = min(first + batch, queries)
      let part = rows(first..<last, of: q)
      var y = Matrix(rows: last - first, columns: width)
      let span = AttentionSpan(
        queryRows: 0..<(last - first),
        pages: pages,
        keyCount: isCausal ? keys - (queries - last) : keys,
        isCausal: isCausal
      )
      context.attention(
        part,
        column: 5,
        scale: Self.scale,
        spans: [span],
        cache: cache,
        into: &y
      )
      out += y.values()
    }
    return out
  }
}

@Suite struct AttentionTests {
  @Test(arguments: Case.all)
  private func closeToFloat64(_ test: Case) throws {
    let context = try ComputeContext(threads: 2)
    let n = min(test.keys, 19)
    let actual = try test.results(context, queries: n, batch: n)
    let q = sample(rows: n, columns: test.width + 5, seed: 102)
    let k = sample(rows: test.keys, columns: test.width + 3, seed: 100)
    let v = sample(rows: test.keys, columns: test.width, seed: 101)
    for i in 0..<n {
      let visible = test.isCausal ? test.keys - (n - 1 - i) : test.keys
      for head in 0..<test.heads {
        let d = test.headDim
        let keys = (0..<visible).map { t in
          test.stored(Array(k.row(t)[(3 + head * d)..<(3 + (head + 1) * d)]))
        }
        let values = (0..<visible).map { t in
          test.stored(Array(v.row(t)[(head * d)..<((head + 1) * d)]))
        }
        let scores = (0..<visible).map { t in
          Double(Case.scale)
            * (0..<d).reduce(0.0) {
              $0 + Double(q[i, 5 + head * d + $1]) * keys[t][$1]
            }
        }
        let top = scores.max() ?? 0
        let weights = scores.map { Foundation.exp($0 - top) }
        let sum = weights.reduce(0, +)
        let expected = (0..<d).map { j in
          (0..<visible).reduce(0.0) { $0 + weights[$1] / sum * values[$1][j] }
        }
        let start = i * test.width + head * d
        #expect(relativeError(Array(actual[start..<(start + d)]), expected) < 2e-5)
      }
    }
  }

  @Test(arguments: Machine.all)
  func everyMachineGivesTheSameBits(_ machine: Machine) throws {
    let oracle = try Machine.oracle.context()
    let context = try machine.context()
    for test in Case.all {
      let n = min(test.keys, 19)
      let expected = try test.results(oracle, queries: n, batch: n)
      let actual = try test.results(context, queries: n, batch: n)
      #expect(
        actual.map(\.bitPattern) == expected.map(\.bitPattern),
        "\(test.testDescription)"
      )
    }
  }

  @Test(arguments: Case.all)
  private func cuttingTheQueriesChangesNothing(_ test: Case) throws {
    let context = try ComputeContext(threads: 2)
    let n = min(test.keys, 37)
    let whole = try test.results(context, queries: n, batch: n)
    for batch in [1, 2, 3, 5, 8, 16, 17] {
      let cut = try test.results(context, queries: n, batch: batch)
      #expect(cut.map(\.bitPattern) == whole.map(\.bitPattern), "batch \(batch)")
    }
    let elsewhere = Array(test.pageTable.map { ($0 + 4) % 11 })
    let moved = try test.results(context, queries: n, batch: n, pages: elsewhere)
    #expect(moved.map(\.bitPattern) == whole.map(\.bitPattern))
  }

  @Test(arguments: Case.all, ISA.available)
  private func cuttingTheKeysChangesNothing(_ test: Case, _ isa: ISA) throws {
    let context = try ComputeContext(isa: isa, threads: 2)
    let n = min(test.keys, 5)
    let oneByOne = try test.results(context, queries: n, batch: n, chunk: 1)
    // Whole pages at once; some that begin inside a page; pages and a rest.
    for chunk in [16, 23, test.keys] {
      let cut = try test.results(context, queries: n, batch: n, chunk: chunk)
      #expect(cut.map(\.bitPattern) == oneByOne.map(\.bitPattern), "chunks of \(chunk)")
    }
  }

  @Test(arguments: ISA.available)
  func noKeysGiveZeros(_ isa: ISA) throws {
    let context = try ComputeContext(isa: isa, threads: 2)
    let cache = try PageStore(pages: 1, heads: 2, headDim: 16, element: .f16)
    cache.poison(0)
    let q = sample(rows: 4, columns: 32, seed: 1)
    var out = sample(rows: 4, columns: 32, seed: 2)
    let untouched = out.row(3)
    context.attention(
      q,
      column: 0,
      scale: 1,
      spans: [
        AttentionSpan(queryRows: 0..<1, pages: [], keyCount: 0, isCausal: false),
        AttentionSpan(queryRows: 1..<3, pages: [0], keyCount: 0, isCausal: true),
      ],
      cache: cache,
      into: &out
    )
    for t in 0..<3 { #expect(out.row(t) == [Float](repeating: 0, count: 32)) }
    #expect(out.row(3) == untouched)
  }

  @Test func spansAreIndependent() throws {
    let context = try ComputeContext(threads: 3)
    let test = Case(heads: 2, headDim: 32, keys: 50, element: .f16, isCausal: true)
    let cache = try test.store(context, chunk: 50, pages: test.pageTable)
    let q = sample(rows: 9, columns: 64, seed: 5)
    var together = Matrix(rows: 9, columns: 64)
    let spans = [(0..<1, 50), (1..<6, 33), (6..<9, 3)].map {
      AttentionSpan(queryRows: $0.0, pages: test.pageTable, keyCount: $0.1, isCausal: true)
    }
    context.attention(q, column: 0, scale: 0.2, spans: spans, cache: cache, into: &together)
    for span in spans {
      var alone = Matrix(rows: span.queryRows.count, columns: 64)
      var moved = span
      moved.queryRows = 0..<span.queryRows.count
      context.attention(
        rows(span.queryRows, of: q),
        column: 0,
        scale: 0.2,
        spans: [moved],
        cache: cache,
        into: &alone
      )
      for (index, row) in span.queryRows.enumerated() {
        #expect(alone.row(index) == together.row(row))
      }
    }
  }

  @Test(arguments: KVElement.allCases)
  func copiedPagesReadTheSame(_ element: KVElement) throws {
    let context = try ComputeContext(threads: 1)
    let test = Case(heads: 2, headDim: 40, keys: 16, element: element, isCausal: false)
    let cache = try test.store(context, chunk: 16, pages: [3])
    cache.copyPage(from: 3, to: 9)
    cache.poison(3)
    let q = sample(rows: 2, columns: 80, seed: 6)
    var copy = Matrix(rows: 2, columns: 80)
    let span = AttentionSpan(queryRows: 0..<2, pages: [9], keyCount: 16, isCausal: false)
    context.attention(q, column: 0, scale: 0.2, spans: [span], cache: cache, into: &copy)
    let fresh = try test.store(context, chunk: 16, pages: [9])
    var expected = Matrix(rows: 2, columns: 80)
    context.attention(q, column: 0, scale: 0.2, spans: [span], cache: fresh, into: &expected)
    #expect(bits(copy) == bits(expected))
    #expect(copy.values().allSatisfy { $0.isFinite })
  }

  @Test func pageStoreRefusesImpossibleSizes() {
    #expect(throws: KernelError.self) {
      try PageStore(pages: 0, heads: 1, headDim: 1, element: .f16)
    }
    #expect(throws: KernelError.self) {
      try PageStore(pages: 1 << 30, heads: 1 << 20, headDim: 1 << 20, element: .f16)
    }
    #expect(PageStore.bytesPerPage(heads: 32, headDim: 128, element: .f16) == 262_144)
    #expect(PageStore.bytesPerPage(heads: 32, headDim: 128, element: .int8) == 131_072 + 4096)
  }
}
