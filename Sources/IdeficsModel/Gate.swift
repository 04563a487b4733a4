// tanh of the gate parameters, once at load time.

import Kernels
import Tensors

/// Elementwise hyperbolic tangent of a gate parameter, with the same bits on every machine.
func tanh(_ gate: DenseTensor) -> DenseTensor {
  // The shape is the one of `gate`, so the number of values fits it.
  DenseTensor(shape: gate.shape, values: gate.values.map(PortableMath.tanh)) ?? gate
}
