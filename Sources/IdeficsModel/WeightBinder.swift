// Looks parameters up by name and checks their shapes against the configuration: the last gate
// between a file and the kernels.

import Kernels
import Tensors
import WeightFiles

/// Binds names to tensors of known shape.
struct WeightBinder {
  let source: any WeightSource

  /// A packed matrix `[rows, columns]`.
  func matrix(_ name: String, _ rows: Int, _ columns: Int) throws(ModelError) -> PackedMatrix {
    let matrix: PackedMatrix
    do { matrix = try source.packed(name) } catch { throw .weights(error) }
    guard matrix.rows == rows, matrix.columns == columns else {
      throw .wrongShape(
        tensor: name,
        expected: [rows, columns],
        actual: [matrix.rows, matrix.columns]
      )
    }
    return matrix
  }

  /// A float32 tensor of one of the given element counts.
  func dense(_ name: String, _ counts: Int...) throws(ModelError) -> DenseTensor {
    let tensor: DenseTensor
    do { tensor = try source.dense(name) } catch { throw .weights(error) }
    guard counts.contains(tensor.count) else {
      throw .wrongShape(tensor: name, expected: [counts[0]], actual: tensor.shape.dimensions)
    }
    return tensor
  }

  /// Weight and bias of a LayerNorm.
  func layerNorm(_ prefix: String, _ width: Int) throws(ModelError) -> LayerNormWeights {
    LayerNormWeights(
      weight: try dense(prefix + ".weight", width),
      bias: try dense(prefix + ".bias", width)
    )
  }

  /// Weight and bias of a linear layer.
  func linear(_ prefix: String, _ rows: Int, _ columns: Int) throws(ModelError) -> LinearWeights {
    LinearWeights(
      weight: try matrix(prefix + ".weight", rows, columns),
      bias: try dense(prefix + ".bias", rows)
    )
  }
}

/// Weight and bias of a LayerNorm.
struct LayerNormWeights: Sendable {
  let weight: DenseTensor  // [width]
  let bias: DenseTensor  // [width]
}

/// Weight and bias of a linear layer.
struct LinearWeights: Sendable {
  let weight: PackedMatrix  // [out, in]
  let bias: DenseTensor  // [out]
}

/// The three projections of a SwiGLU MLP: `down(silu(gate x) · up x)`.
struct GatedMLPWeights: Sendable {
  let gate: PackedMatrix  // [intermediate, hidden]
  let up: PackedMatrix  // [intermediate, hidden]
  let down: PackedMatrix  // [hidden, intermediate]

  init(_ binder: WeightBinder, _ prefix: String, _ c: Configuration) throws(ModelError) {
    gate = try binder.matrix(prefix + "gate_proj.weight", c.intermediateSize, c.hiddenSize)
    up = try binder.matrix(prefix + "up_proj.weight", c.intermediateSize, c.hiddenSize)
    down = try binder.matrix(prefix + "down_proj.weight", c.hiddenSize, c.intermediateSize)
  }

  /// `inner = silu(gate normed) · up normed`.
  func applyInner(_ c: Configuration, _ k: ComputeContext, _ s: TextActivations) {
    s.projected.reshape(columns: 2 * c.intermediateSize)
    k.linear(s.normed, [gate, up], into: &s.projected)
    k.siluGate(s.projected, into: &s.inner)
  }
}
