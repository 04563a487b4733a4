// Norms, rotary embedding, gates and residual addition.

import KernelCore
import Tensors

/// Activation functions of the model.
public enum Activation: Sendable, CaseIterable {
  /// `½·x·(1 + erf(x/√2))`.
  case gelu
  /// `x · σ(1.702 x)`.
  case quickGelu
  /// `max(x, 0)`.
  case relu
  /// `x · σ(x)`.
  case silu

  var kind: ActivationKind {
    switch self {
    case .gelu: .gelu
    case .quickGelu: .quickGelu
    case .relu: .relu
    case .silu: .silu
    }
  }
}

extension ComputeContext {
  /// Least elements of a chunk of cheap work: some microseconds.
  private static var grain: Int { 8192 }

  /// `y[t] = weight · (x[t] / √(mean(x[t]²) + eps))`; `x, y [T, k]`, `weight [k]`.
  public func rmsNorm(
    _ x: borrowing Matrix,
    weight: DenseTensor,
    eps: Float,
    into y: inout Matrix
  ) {
    precondition(y.columns == x.columns && weight.count == x.columns, "widths differ")
    y.resize(rows: x.rows)
    norm(
      NormArguments(
        x: UnsafePointer(x.storage.baseAddress),
        xStride: x.columns,
        y: y.storage.baseAddress,
        yStride: y.columns,
        perRow: 1,
        width: x.columns,
        weight: weight.baseAddress,
        bias: nil,
        epsilon: eps
      ),
      rows: x.rows
    )
    withExtendedLifetime(weight) {}
  }

  /// `y[t] = (x[t] − mean) / √(variance + eps) · weight + bias`; `x, y [T, k]`, `weight, bias [k]`.
  public func layerNorm(
    _ x: borrowing Matrix,
    weight: DenseTensor,
    bias: DenseTensor,
    eps: Float,
    into y: inout Matrix
  ) {
    precondition(
      y.columns == x.columns && weight.count == x.columns && bias.count == x.columns,
      "widths differ"
    )
    y.resize(rows: x.rows)
    norm(
      NormArguments(
        x: UnsafePointer(x.storage.baseAddress),
        xStride: x.columns,
        y: y.storage.baseAddress,
        yStride: y.columns,
        perRow: 1,
        width: x.columns,
        weight: weight.baseAddress,
        bias: bias.baseAddress,
        epsilon: eps
      ),
      rows: x.rows
    )
    withExtendedLifetime((weight, bias)) {}
  }

  /// Normalises each head of columns `column ..< column + heads·headDim` in place.
  ///
  /// A layer norm with `bias`, a root-mean-square norm without; `weight, bias [headDim]`.
  public func headNorm(
    _ x: inout Matrix,
    column: Int,
    heads: Int,
    headDim: Int,
    weight: DenseTensor,
    bias: DenseTensor?,
    eps: Float
  ) {
    checkHeads(x.columns, column, heads, headDim)
    precondition(
      weight.count == headDim && (bias.map { $0.count == headDim } ?? true),
      "norm parameters do not fit the head"
    )
    let base = x.storage.baseAddress + column
    norm(
      NormArguments(
        x: UnsafePointer(base),
        xStride: x.columns,
        y: base,
        yStride: x.columns,
        perRow: heads,
        width: headDim,
        weight: weight.baseAddress,
        bias: bias.map { UnsafePointer($0.baseAddress) },
        epsilon: eps
      ),
      rows: x.rows
    )
    withExtendedLifetime((weight, bias)) {}
  }

  /// Rotary embedding of each head of columns `column ..< column + heads·headDim` in place: element
  /// j and j + headDim/2 turn by `positions[t] · 10000^(−2j/headDim)`.
  ///
  /// - Precondition: `headDim` is even, one position in 0..<2^24 for each row.
  public func rotary(
    _ x: inout Matrix,
    column: Int,
    heads: Int,
    headDim: Int,
    positions: [Int32]
  ) {
    checkHeads(x.columns, column, heads, headDim)
    precondition(headDim % 2 == 0, "odd head width")
    precondition(positions.count == x.rows, "one position for each row")
    precondition(positions.allSatisfy { $0 >= 0 && $0 < 1 << 24 }, "position out of range")
    guard let last = positions.max() else { return }
    let table = rotaryTables[headDim] ?? RotaryTable(headDim: headDim)
    rotaryTables[headDim] = table
    table.extend(to: Int(last) + 1)
    let rows = x.rows
    positions.withUnsafeBufferPointer { positions in
      guard let positions = positions.baseAddress else { return }
      let a = RotaryArguments(
        x: x.storage.baseAddress + column,
        stride: x.columns,
        heads: heads,
        headDim: headDim,
        positions: positions,
        cosines: table.cosines,
        sines: table.sines
      )
      parallel(rows, grain: Self.grain / (heads * headDim)) { kernels.rotate(a, $0, $1) }
    }
  }

  /// `y[t, j] = silu(x[t, j]) · x[t, F + j]`; `x [T, 2F]` is gate beside up, `y [T, F]`.
  public func siluGate(_ x: borrowing Matrix, into y: inout Matrix) {
    precondition(x.columns == 2 * y.columns, "widths differ")
    y.resize(rows: x.rows)
    let source = UnsafePointer(x.storage.baseAddress)
    let out = y.storage.baseAddress
    let width = y.columns
    parallel(x.rows, grain: Self.grain / max(width, 1)) {
      kernels.siluGate(source, out, width, $0, $1)
    }
  }

  /// `y += x`; both `[T, k]`.
  public func add(_ x: borrowing Matrix, into y: inout Matrix) {
    precondition(x.rows == y.rows && x.columns == y.columns, "shapes differ")
    let source = UnsafePointer(x.storage.baseAddress)
    let out = y.storage.baseAddress
    parallel(x.rows * x.columns, grain: Self.grain) { kernels.add(source, out, $0, $1) }
  }

  private func norm(_ a: NormArguments, rows: Int) {
    parallel(rows * a.perRow, grain: Self.grain / max(a.width, 1)) {
      kernels.normalize(a, $0, $1)
    }
  }

  func checkHeads(_ columns: Int, _ column: Int, _ heads: Int, _ headDim: Int) {
    precondition(heads > 0 && headDim > 0, "heads must be positive")
    precondition(column >= 0 && column + heads * headDim <= columns, "heads outside the matrix")
  }
}
