// What the machine can do at best: the yardsticks of every performance figure.

/// Reads `lines` cache lines at `p`, a multiple of four, and returns a value that depends on all of them.
///
/// Four runs of plain loads side by side: no reading in one run, with software prefetch or without, was faster.
@inlinable @inline(__always)
public func readLines<L: Lanes>(_: L.Type, _ p: UnsafeRawPointer, _ lines: Int) -> UInt32 {
  typealias V = SIMD16<UInt32>
  var a = V(repeating: 0)
  var b = a
  var c = a
  var d = a
  let run = lines / 4 * 64
  var offset = 0
  while offset < run {
    a ^= p.loadUnaligned(fromByteOffset: offset, as: V.self)
    b ^= p.loadUnaligned(fromByteOffset: offset + run, as: V.self)
    c ^= p.loadUnaligned(fromByteOffset: offset + 2 * run, as: V.self)
    d ^= p.loadUnaligned(fromByteOffset: offset + 3 * run, as: V.self)
    offset += 64
  }
  let all = (a ^ b) ^ (c ^ d)
  var sum: UInt32 = 0
  for lane in 0..<16 { sum ^= all[lane] }
  return sum
}

/// Int8 products that `multiplyRegisters` performs in one turn.
@inlinable @inline(__always)
public func productsPerTurn<L: Lanes>(_: L.Type) -> Int { 12 * 4 * L.partRows }

/// Performs `turns` times twelve independent int8 dot products on registers and the 2 KiB at `p`; the
/// result depends on all of them.
///
/// Twelve, since processors that begin two products in a cycle and end them after four or five keep ten
/// under way.
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
  var i = a
  var j = a
  var k = a
  var l = a
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
    i = L.bareDot(i, w, x + 32, scale)
    j = L.bareDot(j, w, x + 36, scale)
    k = L.bareDot(k, w, x + 40, scale)
    l = L.bareDot(l, w, x + 44, scale)
  }
  let eight = L.add(L.add(L.add(a, b), L.add(c, d)), L.add(L.add(e, f), L.add(g, h)))
  let all = L.add(eight, L.add(L.add(i, j), L.add(k, l)))
  var sums = SIMD16<UInt32>(repeating: 0)
  return withUnsafeMutableBytes(of: &sums) { bytes in
    guard let out = bytes.baseAddress else { return 0 }
    L.store(all, to: out)
    return out.load(as: UInt32.self)
  }
}
