// Products by vpdpbusd, 256 or 512 bits wide: it multiplies unsigned by signed bytes. Weights are stored 128 too
// large, and each group begins at −128 · Σ x. Another folder has a link to this file.

import CIntrinsics
import KernelCore

extension NativeLanes {
  @inline(__always)
  static func begin(_ total: Sums, correction p: UnsafeRawPointer) -> Sums {
    Sums(repeating: p.load(as: Int32.self))
  }

  @inline(__always)
  static func end(_ total: Sums, _ sums: Sums, _ scale: GroupScale) -> Sums {
    total &+ sums &* scale
  }

  @inline(__always)
  static func complete(_ record: UnsafeMutableRawPointer) {
    let first = -128 &* lanes_sum16(record)
    let second = -128 &* lanes_sum16(record + 16)
    let corrections = (record + ActivationRecord.supplement).assumingMemoryBound(to: Int32.self)
    corrections[0] = first &+ second
    corrections[1] = first
    corrections[2] = second
  }
}
