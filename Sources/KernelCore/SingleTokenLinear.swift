// Products with one token, the case of decoding: bound by reading the weights. Each row tile is read as one stream,
// of which a processor keeps too little under way by itself: too many instructions lie between two loads for it to
// see far enough ahead.

import Tensors

/// Row tiles `lower..<upper` of a product of one token and quantised weights.
///
/// The same operations in the same order as for more tokens.
@inlinable @inline(__always)
func singleTokenTiles<L: Lanes>(
  _: L.Type,
  _ a: LinearArguments,
  _ lower: Int,
  _ upper: Int,
  _ scratch: LinearScratch
) {
  for tile in lower..<upper {
    switch a.encoding {
    case .q4g16: singleTokenTile(L.self, FourBitGroup16.self, a, tile, scratch)
    case .q8: singleTokenTile(L.self, EightBit.self, a, tile, scratch)
    default: singleTokenTile(L.self, FourBitGroup32.self, a, tile, scratch)
    }
    finishTile(L.self, a, tile, 0, 1, scratch.floats(0), stride: 16)
  }
}

/// Products of a row tile, before row scales, into the first floats of the scratch.
@inlinable @inline(__always)
func singleTokenTile<L: Lanes, F: CodeFormat>(
  _: L.Type,
  _: F.Type,
  _ a: LinearArguments,
  _ tile: Int,
  _ scratch: LinearScratch
) {
  let table = withUnsafePointer(to: a.codebook) { L.table(UnsafeRawPointer($0)) }
  let recordsInBlock = ActivationRecord.scaleBlock / ActivationRecord.count
  var codes = a.codes + tile * a.tileBytes
  var scales = a.groupScales + tile * a.groups * 16
  var x = a.activations
  var blockScale = a.activationScales
  var left = a.columns / ActivationRecord.count
  var sum = SIMD16<Float>(repeating: 0)
  // One line of each row tile: nothing that a processor foresees.
  L.prefetch(a.rowScales + tile * 16)
  while left > 0 {
    let count = min(recordsInBlock, left)
    var first = OneToken<L>.zero
    var second = OneToken<L>.zero
    for _ in 0..<count {
      fetchPage(L.self, F.self, codes)
      if L.partRows == 16 {
        addRecord(F.self, table, codes, scales, x, distance: 7680, &first)
      } else {
        addHalves(F.self, table, codes, scales, x, &first, &second)
      }
      codes += F.blockBytes
      scales += F.groups * 16
      x += ActivationRecord.bytes
    }
    let sums: SIMD16<Int32>
    if L.partRows == 16 {
      sums = unsafeBitCast(first.sums, to: SIMD16<Int32>.self)
    } else {
      first.store(to: scratch.integers)
      second.store(to: scratch.integers + L.partRows * 4)
      sums = scratch.integers.load(as: SIMD16<Int32>.self)
    }
    sum = L.float(sums).fma(SIMD16<Float>(repeating: blockScale[0]), sum)
    blockScale += 1
    left -= count
  }
  sum.store(scratch.floats(0))
}

/// Adds the products of 32 k to the sums of both halves of a row tile, which share what is read of the token.
@inlinable @inline(__always)
func addHalves<L: Lanes, F: CodeFormat>(
  _: F.Type,
  _ table: L.Table,
  _ codes: UnsafeRawPointer,
  _ scales: UnsafeRawPointer,
  _ x: UnsafeRawPointer,
  _ first: inout OneToken<L>,
  _ second: inout OneToken<L>
) {
  let half = L.partRows
  var firstScale = L.groupScale(scales)
  var secondScale = L.groupScale(scales + half)
  var correction = ActivationRecord.supplement
  if F.groups == 2 { correction = ActivationRecord.halfCorrections }
  var firstProducts = first.begin(correction: x + correction)
  var secondProducts = second.begin(correction: x + correction)
  @inline(__always)
  func add(_ index: Int) {
    fetchLine(L.self, F.self, codes, index, distance: 7680)
    let x = x + index * 4
    firstProducts.add(F.weights(L.self, codes, index, table), x, firstScale)
    secondProducts.add(F.weights(L.self, codes + half * 4, index, table), x, secondScale)
  }
  add(0)
  add(1)
  add(2)
  add(3)
  if F.groups == 2 {
    first.end(firstProducts, firstScale)
    second.end(secondProducts, secondScale)
    firstScale = L.groupScale(scales + 16)
    secondScale = L.groupScale(scales + (16 + half))
    firstProducts = first.begin(correction: x + (correction + 4))
    secondProducts = second.begin(correction: x + (correction + 4))
  }
  add(4)
  add(5)
  add(6)
  add(7)
  first.end(firstProducts, firstScale)
  second.end(secondProducts, secondScale)
}

/// Fetches, where a page of 4 KiB begins, the first lines of the fifth page from here.
///
/// Processors foresee what comes in a page once it has been entered, but not the page. All else is fetched 7.5 KiB
/// ahead, line by line beside the products: in one go for 32 k, it holds up the loads behind it. Nearer, farther, the
/// group scales too, or two row tiles at a time was slower.
@inlinable @inline(__always)
func fetchPage<L: Lanes, F: CodeFormat>(_: L.Type, _: F.Type, _ codes: UnsafeRawPointer) {
  guard Int(bitPattern: codes) & 4095 < F.blockBytes else { return }
  L.prefetchFar(codes + 20480)
  L.prefetchFar(codes + (20480 + 64))
}
