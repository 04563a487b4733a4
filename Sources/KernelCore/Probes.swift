// What the machine can do at best: the yardsticks of every performance figure.

/// Reads `lines` cache lines at `p` and returns a value that depends on all of them.
///
/// Plain loads in increasing order with software prefetch, as the matrix kernels read weights.
@inlinable @inline(__always)
public func readLines<L: Lanes>(_: L.Type, _ p: UnsafeRawPointer, _ lines: Int) -> UInt32 {
  typealias V = SIMD16<UInt32>
  var a = V(repeating: 0)
  var b = a
  var c = a
  var d = a
  var line = p
  let end = p + lines / 4 * 256
  while line < end {
    L.prefetch(line + 4096)
    L.prefetch(line + 4160)
    L.prefetch(line + 4224)
    L.prefetch(line + 4288)
    a ^= line.loadUnaligned(as: V.self)
    b ^= line.loadUnaligned(fromByteOffset: 64, as: V.self)
    c ^= line.loadUnaligned(fromByteOffset: 128, as: V.self)
    d ^= line.loadUnaligned(fromByteOffset: 192, as: V.self)
    line += 256
  }
  let all = (a ^ b) ^ (c ^ d)
  var sum: UInt32 = 0
  for lane in 0..<16 { sum ^= all[lane] }
  return sum
}

/// Int8 products that `multiplyRegisters` performs in one turn.
@inlinable @inline(__always)
public func productsPerTurn<L: Lanes>(_: L.Type) -> Int { 8 * 4 * L.partRows }

/// Performs `turns` times eight independent int8 dot products on registers and the 2 KiB at `p`; the
/// result depends on all of them.
@inlinable @inline(__always)
public func multiplyRegisters<L: Lanes>(_: L.Type, _ p: UnsafeRawPointer, _ turns: Int) -> UInt32 {
  // Operands change from turn to turn, so that no product can be kept from the turn before.
  let w = L.bytes(p)
  let scale = L.groupScale(p)
  var a = L.load(p)
  var b = a
  var c = a
  var d = a
  var e = a
  var f = a
  var g = a
  var h = a
  for turn in 0..<turns {
    let x = p + (turn & 31) * 64
    a = L.bareDot(a, w, x, scale)
    b = L.bareDot(b, w, x + 4, scale)
    c = L.bareDot(c, w, x + 8, scale)
    d = L.bareDot(d, w, x + 12, scale)
    e = L.bareDot(e, w, x + 16, scale)
    f = L.bareDot(f, w, x + 20, scale)
    g = L.bareDot(g, w, x + 24, scale)
    h = L.bareDot(h, w, x + 28, scale)
  }
  let all = L.add(L.add(L.add(a, b), L.add(c, d)), L.add(L.add(e, f), L.add(g, h)))
  var sums = SIMD16<UInt32>(repeating: 0)
  return withUnsafeMutableBytes(of: &sums) { bytes in
    guard let out = bytes.baseAddress else { return 0 }
    L.store(all, to: out)
    return out.load(as: UInt32.self)
  }
}
