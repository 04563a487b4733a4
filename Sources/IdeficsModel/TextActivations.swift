// Scratch of the text stack, allocated once for the most tokens a step can have.

import Tensors

/// Activations of one step of the text stack; every matrix has room for `tokens` rows.
final class TextActivations {
  var x: Matrix  // [tokens, hidden], the residual stream
  var normed: Matrix  // [tokens, hidden]
  var query: Matrix  // [tokens, hidden], of cross-attention
  var projected: Matrix  // [tokens, 3 · hidden], q | k | v
  var attended: Matrix  // [tokens, hidden]
  var gateUp: Matrix  // [tokens, 2 · intermediate]
  var inner: Matrix  // [tokens, intermediate]
  var imageKeyValue: Matrix  // [image states, 2 · hidden]

  init(_ c: Configuration, tokens: Int) {
    x = Matrix(rows: tokens, columns: c.hiddenSize)
    normed = Matrix(rows: tokens, columns: c.hiddenSize)
    query = Matrix(rows: tokens, columns: c.hiddenSize)
    projected = Matrix(rows: tokens, columns: 3 * c.hiddenSize)
    attended = Matrix(rows: tokens, columns: c.hiddenSize)
    gateUp = Matrix(rows: tokens, columns: 2 * c.intermediateSize)
    inner = Matrix(rows: tokens, columns: c.intermediateSize)
    imageKeyValue = Matrix(rows: c.imageStates, columns: 2 * c.hiddenSize)
  }
}
