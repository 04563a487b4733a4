// The instruction sets that kernels exist for, and which of them this machine has.
// Refuses nothing; the choice is made once, from the processor and the operating system.

import CIntrinsics

/// An instruction set that a `ComputeContext` can use. All give bit-identical results.
public enum ISA: String, CaseIterable, Sendable {
  /// Plain Swift, any processor: the oracle that the others are tested against.
  case portable
  /// AVX2, FMA and F16C.
  case avx2
  /// AVX-512 (F, BW, DQ, VL) with VNNI.
  case avx512vnni
  /// ARMv8.2 with dot product.
  case neon
}
