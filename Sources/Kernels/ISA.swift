// The instruction sets that kernels exist for, and which of them this machine has: what the
// processor implements and the operating system saves across context switches.

import CIntrinsics
import KernelCore

#if arch(x86_64)
import KernelsAVX2
import KernelsAVX512VNNI
import KernelsAVXVNNI
#elseif arch(arm64)
import Glibc
import KernelsNEON
#endif

/// An instruction set that a `ComputeContext` can use.
///
/// All give bit-identical results.
public enum ISA: String, CaseIterable, Sendable {
  /// Plain Swift, any processor: the oracle that the others are tested against.
  case portable
  /// AVX2, FMA and F16C.
  case avx2
  /// AVX2, FMA and F16C with AVX-VNNI.
  case avxvnni
  /// AVX-512 (F, BW, DQ, VL) with VNNI.
  case avx512vnni
  /// ARMv8.2 with dot product and half precision.
  case neon

  /// The instruction sets of this machine, slowest first; always begins with `portable`.
  public static let available: [ISA] = [.portable] + detected()

  /// The fastest instruction set of this machine.
  public static var best: ISA { available.last ?? .portable }

  /// The kernels of this instruction set, or `nil` when this build has none.
  var kernels: KernelTable? {
    switch self {
    case .portable: .portable
    #if arch(x86_64)
    case .avx2: .avx2
    case .avxvnni: .avxvnni
    case .avx512vnni: .avx512vnni
    case .neon: nil
    #elseif arch(arm64)
    case .neon: .neon
    case .avx2, .avxvnni, .avx512vnni: nil
    #else
    case .avx2, .avxvnni, .avx512vnni, .neon: nil
    #endif
    }
  }

  #if arch(x86_64)
  private static func detected() -> [ISA] {
    // Bit numbers: Intel SDM volume 2, CPUID leaves 1 and 7; volume 1, section 13.3 for XCR0.
    let base = cpu_identify(1, 0)
    func has(_ register: UInt32, _ bits: UInt32...) -> Bool {
      bits.allSatisfy { register >> $0 & 1 == 1 }
    }
    // FMA 12, OSXSAVE 27, AVX 28, F16C 29
    guard has(base[2], 12, 27, 28, 29) else { return [] }
    let state = UInt32(truncatingIfNeeded: cpu_saved_state())
    let features = cpu_identify(7, 0)
    // State: SSE 1, AVX 2. AVX2 5, BMI2 8.
    guard has(state, 1, 2), has(features[1], 5, 8) else { return [] }
    var found: [ISA] = [.avx2]
    // AVX-VNNI 4.
    if has(cpu_identify(7, 1)[0], 4) { found.append(.avxvnni) }
    // State: opmask 5, upper halves 6 and 7. F 16, DQ 17, BW 30, VL 31; VNNI 11.
    if has(state, 5, 6, 7), has(features[1], 16, 17, 30, 31), has(features[2], 11) {
      found.append(.avx512vnni)
    }
    return found
  }
  #elseif arch(arm64)
  private static func detected() -> [ISA] {
    // HWCAP_ASIMDHP is bit 10, HWCAP_ASIMDDP bit 20 of AT_HWCAP (16).
    let capabilities = getauxval(16)
    return capabilities >> 10 & capabilities >> 20 & 1 == 1 ? [.neon] : []
  }
  #else
  private static func detected() -> [ISA] { [] }
  #endif
}
