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

/// Performs `turns` times eight independent int8 dot products on registers and one cache line; the
/// result depends on all of them.
@inlinable @inline(__always)
public func multiplyRegisters<L: Lanes>(_: L.Type, _ p: UnsafeRawPointer, _ turns: Int) -> UInt32 {
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
  for _ in 0..<turns {
    a = L.dot(a, w, p, scale)
    b = L.dot(b, w, p + 4, scale)
    c = L.dot(c, w, p + 8, scale)
    d = L.dot(d, w, p + 12, scale)
    e = L.dot(e, w, p + 16, scale)
    f = L.dot(f, w, p + 20, scale)
    g = L.dot(g, w, p + 24, scale)
    h = L.dot(h, w, p + 28, scale)
  }
  let ab = L.end(a, b, scale)
  let cd = L.end(c, d, scale)
  let ef = L.end(e, f, scale)
  let gh = L.end(g, h, scale)
  var sums = SIMD16<UInt32>(repeating: 0)
  return withUnsafeMutableBytes(of: &sums) { bytes in
    guard let out = bytes.baseAddress else { return 0 }
    L.store(L.end(L.end(ab, cd, scale), L.end(ef, gh, scale), scale), to: out)
    return out.load(as: UInt32.self)
  }
}
