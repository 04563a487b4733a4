// Scratch of the text stack, allocated once for the most tokens a step can have. Products that are never wanted at the
// same time share a matrix, which whoever writes it shapes first.

import Tensors

/// Activations of one step of the text stack; every matrix has room for `tokens` rows.
final class TextActivations {
  var x: Matrix  // [tokens, hidden], the residual stream
  var normed: Matrix  // [tokens, hidden]; what attention gives of it
  // [tokens, 3 · hidden], q | k | v; [tokens, hidden], q of cross-attention; [tokens, 2 · intermediate], gate | up;
  // [image states, 2 · hidden], k | v
  var projected: Matrix
  var inner: Matrix  // [tokens, intermediate]

  init(_ c: Configuration, tokens: Int) {
    x = Matrix(rows: tokens, columns: c.hiddenSize)
    normed = Matrix(rows: tokens, columns: c.hiddenSize)
    projected = Matrix(rows: tokens, columns: max(3 * c.hiddenSize, 2 * c.intermediateSize))
    inner = Matrix(rows: tokens, columns: c.intermediateSize)
  }

  /// Shapes `projected` for keys and values of `states` image states.
  func shapeForImage(states: Int, _ c: Configuration) {
    projected.reshape(columns: 2 * c.hiddenSize)
    if projected.capacity < states {
      projected = Matrix(rows: states, columns: 2 * c.hiddenSize)
    }
  }
}
