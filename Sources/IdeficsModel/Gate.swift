// tanh of the gate parameters, once at load time, from IEEE operations only, so that every machine
// computes the same bits.

import Tensors

/// Elementwise hyperbolic tangent of a gate parameter.
///
/// Exact to well under half a unit in the last place of float32 before rounding.
func tanh(_ gate: DenseTensor) -> DenseTensor {
  let values = gate.values.map { Float(tanh(Double($0))) }
  // The shape is the one of `gate`, so the number of values fits it.
  return DenseTensor(shape: gate.shape, values: values) ?? gate
}

/// `1 − 2 / (exp(2x) + 1)` by halving the argument until a Taylor series converges at once, then
/// doubling: `tanh 2t = 2 tanh t / (1 + tanh² t)`.
private func tanh(_ x: Double) -> Double {
  guard x.isFinite else { return x.isNaN ? x : (x > 0 ? 1 : -1) }
  guard abs(x) < 20 else { return x > 0 ? 1 : -1 }
  var halvings = 0
  var t = x
  while abs(t) > 1.0 / 64 {
    t /= 2
    halvings += 1
  }
  let square = t * t
  var result =
    t * (1 - square * (1.0 / 3 - square * (2.0 / 15 - square * (17.0 / 315 - square * 62 / 2835))))
  for _ in 0..<halvings { result = 2 * result / (1 + result * result) }
  return result
}
