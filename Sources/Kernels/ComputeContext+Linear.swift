// Matrix products: activations are quantised once per call, then all matrices that share them form
// one job, cut into runs of row tiles.

import KernelCore
import Tensors

extension ComputeContext {
  /// Tokens whose packed activations exist at once, of `rows`: slabs of about the same size, since weights are
  /// unpacked again for each.
  private static func slab(rows: Int) -> Int {
    let slabs = max(1, (rows + LinearScratch.mostTokens - 1) / LinearScratch.mostTokens)
    return (rows + slabs * 12 - 1) / (slabs * 12) * 12
  }

  /// `y[:, oᵢ ..< oᵢ + wᵢ.rows] = x wᵢᵀ (+ biasᵢ)` with oᵢ the rows of the matrices before: several
  /// matrices share one input, one quantisation and one barrier.
  ///
  /// - Parameters:
  ///   - x: `[T, k]`.
  ///   - weights: `[nᵢ, k]` each.
  ///   - bias: empty, or one entry for each matrix: `nil` or `[nᵢ]`.
  ///   - y: `[T, Σ nᵢ]`, overwritten; its rows are set to T.
  public func linear(
    _ x: borrowing Matrix,
    _ weights: [PackedMatrix],
    bias: [DenseTensor?] = [],
    into y: inout Matrix
  ) {
    y.resize(rows: x.rows)
    multiply(x, weights, bias: bias, scale: nil, accumulates: false, into: &y)
  }

  /// `y = activation(x wᵀ (+ bias))`; `x [T, k]`, `weight [n, k]`, `bias [n]`, `y [T, n]` overwritten.
  public func linear(
    _ x: borrowing Matrix,
    _ weight: PackedMatrix,
    bias: DenseTensor? = nil,
    activation: Activation? = nil,
    into y: inout Matrix
  ) {
    y.resize(rows: x.rows)
    multiply(
      x,
      [weight],
      bias: [bias],
      scale: nil,
      activation: activation,
      accumulates: false,
      into: &y
    )
  }

  /// `y += scale ⊙ (x wᵀ + bias)` with `scale` `nil` for 1, `[1]` or `[n]`, and `y [T, n]`.
  public func linearAdd(
    _ x: borrowing Matrix,
    _ weight: PackedMatrix,
    bias: DenseTensor? = nil,
    scale: DenseTensor? = nil,
    into y: inout Matrix
  ) {
    precondition(y.rows == x.rows, "rows of y and x differ")
    multiply(x, [weight], bias: [bias], scale: scale, accumulates: true, into: &y)
  }

  /// Decodes rows of `w [n, k]` into rows of `y [T, k]`: `y[outRows[i]] = w[rows[i]]`, each element
  /// as `PackedMatrix.value(row:column:)` defines it.
  public func gatherRows(
    _ w: PackedMatrix,
    rows: [Int],
    into y: inout Matrix,
    at outRows: [Int]
  ) {
    precondition(rows.count == outRows.count, "one output row for each row")
    precondition(y.columns == w.columns, "columns of y and w differ")
    precondition(rows.allSatisfy { $0 >= 0 && $0 < w.rows }, "row outside the matrix")
    precondition(outRows.allSatisfy { $0 >= 0 && $0 < y.rows }, "output row outside y")
    let out = y.storage.baseAddress
    for (row, outRow) in zip(rows, outRows) {
      RowDecoder.decode(w, row: row, into: out + outRow * y.columns)
    }
  }

  private func multiply(
    _ x: borrowing Matrix,
    _ weights: [PackedMatrix],
    bias: [DenseTensor?],
    scale: DenseTensor?,
    activation: Activation? = nil,
    accumulates: Bool,
    into y: inout Matrix
  ) {
    precondition(bias.isEmpty || bias.count == weights.count, "one bias for each matrix")
    precondition(weights.allSatisfy { $0.columns == x.columns }, "columns of x and w differ")
    precondition(
      y.columns == weights.reduce(0) { $0 + $1.rows },
      "columns of y are not the rows of w"
    )
    for (bias, weight) in zip(bias, weights) {
      precondition(bias.map { $0.count == weight.rows } ?? true, "bias does not fit the matrix")
    }
    precondition(
      scale.map { $0.count == 1 || $0.count == y.columns } ?? true,
      "scale does not fit the matrix"
    )
    let slab = Self.slab(rows: x.rows)
    var first = 0
    while first < x.rows {
      let tokens = min(slab, x.rows - first)
      let activations = pack(x, first: first, tokens: tokens, for: weights)
      var jobs: [LinearArguments] = []
      var column = 0
      for (index, weight) in weights.enumerated() {
        var job = arguments(weight, activations, tokens: tokens)
        job.y = y.storage.baseAddress + first * y.columns + column
        job.yStride = y.columns
        job.bias = bias.isEmpty ? nil : bias[index].map { UnsafePointer($0.baseAddress) }
        job.outputScale = scale.map { UnsafePointer($0.baseAddress) }
        job.outputScaleIsScalar = scale?.count == 1
        job.activation = activation?.kind
        job.accumulates = accumulates
        jobs.append(job)
        column += weight.rows
      }
      run(jobs)
      first += tokens
    }
    withExtendedLifetime((weights, bias, scale)) {}
  }

  /// Where the packed activations of a slab lie.
  private struct PackedActivations {
    var records: UnsafeMutableRawPointer
    var scales: UnsafeMutablePointer<Float>
    var floats: UnsafeMutableRawPointer
  }

  /// Quantises or copies rows `first..<first + tokens` of `x`, as the encodings need.
  private func pack(
    _ x: borrowing Matrix,
    first: Int,
    tokens: Int,
    for weights: [PackedMatrix]
  ) -> PackedActivations {
    let k = x.columns
    let isQuantized = weights.contains { $0.layout.encoding.isQuantized }
    let isFloat = weights.contains { !$0.layout.encoding.isQuantized }
    let records = (k + ActivationRecord.count - 1) / ActivationRecord.count
    let blocks = (k + ActivationRecord.scaleBlock - 1) / ActivationRecord.scaleBlock
    let recordBytes = isQuantized ? tokens * records * ActivationRecord.bytes : 0
    let scaleBytes = isQuantized ? (tokens * blocks * 4 + 63) / 64 * 64 : 0
    let floatBytes = isFloat ? tokens * ((k + 15) / 16) * 64 : 0
    let base = activationScratch.reserve(recordBytes + scaleBytes + floatBytes)
    let packed = PackedActivations(
      records: base,
      scales: (base + recordBytes).bindMemory(to: Float.self, capacity: scaleBytes / 4),
      floats: base + recordBytes + scaleBytes
    )
    var a = QuantizeArguments(
      x: UnsafePointer(x.storage.baseAddress + first * k),
      stride: k,
      columns: k,
      tokens: tokens,
      records: packed.records,
      scales: packed.scales
    )
    // A token of 4,096 activations takes about a microsecond: a thread is worth waking for two.
    let grain = max(1, 8192 / max(k, 1))
    if isQuantized { parallel(tokens, grain: grain) { kernels.quantize(a, $0, $1) } }
    if isFloat {
      a.records = packed.floats
      parallel(tokens, grain: grain) { kernels.pack(a, $0, $1) }
    }
    return packed
  }

  private func arguments(
    _ weight: PackedMatrix,
    _ activations: PackedActivations,
    tokens: Int
  ) -> LinearArguments {
    let layout = weight.layout
    let book = weight.codebook.packedWords
    let codes = weight.codes.baseAddress
    return LinearArguments(
      encoding: layout.encoding,
      rows: layout.rows,
      columns: layout.paddedColumns,
      codes: codes,
      tileBytes: layout.tileBytes(.codes),
      groupScales: weight.scales?.baseAddress ?? codes,
      groups: layout.groups,
      rowScales: (weight.rowScales?.baseAddress ?? codes).assumingMemoryBound(to: Float.self),
      codebook: (
        UInt64(book[1]) << 32 | UInt64(book[0]), UInt64(book[3]) << 32 | UInt64(book[2])
      ),
      tokens: tokens,
      activations: layout.encoding.isQuantized
        ? UnsafeRawPointer(activations.records) : UnsafeRawPointer(activations.floats),
      activationScales: UnsafePointer(activations.scales),
      y: activations.scales,
      yStride: 0
    )
  }

  /// Runs products that read the same activations as one job.
  private func run(_ jobs: [LinearArguments]) {
    let stride = LinearScratch.bytes
    let scratch = threadScratch.reserve(threads * stride)
    let chunks = RowChunks(jobs, threads: threads, panelTokens: kernels.panelTokens)
    pool.run(chunks.count) { chunk, thread in
      let scratch = LinearScratch(scratch + thread * stride)
      chunks.forEachRun(of: chunk) { kernels.linear(jobs[$0], $1, $2, scratch) }
    }
  }
}
