// Products with int8 and 4-bit codebook weights: one body for every number of tokens and every
// instruction set. Sixteen output rows at a time; codes are unpacked once for all tokens of a tile.

import Tensors

/// Row tiles `lower..<upper` of a product, all tokens, any encoding.
///
/// Maths: `y[t, r] = rowScale[r] · Σ_b fma(float(Σ_g s[g, r] · Σ_k c[k, r] · q[t, k]), a[t, b])`
/// with blocks b of 256 k in increasing order. Reads every weight byte of the tiles once per tile
/// of tokens.
@inlinable @inline(__always)
public func linearTiles<L: Lanes>(
  _: L.Type,
  _ a: LinearArguments,
  _ lower: Int,
  _ upper: Int,
  _ scratch: LinearScratch
) {
  let isQuantized = a.encoding.rawValue >= WeightEncoding.q8.rawValue
  if isQuantized, a.tokens >= L.panelTokens {
    return panelTiles(L.self, a, lower, upper, scratch)
  }
  if isQuantized, a.tokens == 1, L.partRows >= 8 {
    return singleTokenTiles(L.self, a, lower, upper, scratch)
  }
  let tiles = isQuantized ? TokenTiles(L.self, quantized: a.tokens) : TokenTiles(a.tokens)
  // What passes once is read from memory as one stream; else it pays to find the activations of several row
  // tiles in the first-level cache.
  let group = a.tokens <= tiles.width ? 1 : LinearScratch.rowTiles
  var first = 0
  while first < a.tokens {
    let pass = LinearPass(first: first, tokens: tiles.count(at: first), scratch: scratch)
    var tile = lower
    while tile < upper {
      let end = min(tile + group, upper)
      switch a.encoding {
      case .q4g32: quantizedTiles(L.self, FourBitGroup32.self, a, pass, tile, end)
      case .q4g16: quantizedTiles(L.self, FourBitGroup16.self, a, pass, tile, end)
      case .q8: quantizedTiles(L.self, EightBit.self, a, pass, tile, end)
      case .f32: floatTiles(L.self, Float32Format.self, a, pass, tile, end)
      case .bf16: floatTiles(L.self, BFloat16Format.self, a, pass, tile, end)
      }
      for index in tile..<end {
        let floats = scratch.floats(index - tile)
        finishTile(L.self, a, index, pass.first, pass.tokens, floats, stride: 16)
      }
      tile = end
    }
    first += pass.tokens
  }
}

/// Products of row tiles `lower..<upper`, at most `LinearScratch.rowTiles`, and one token tile,
/// before row scales, into `floats` of the scratch.
@inlinable @inline(__always)
func quantizedTiles<L: Lanes, F: CodeFormat>(
  _: L.Type,
  _: F.Type,
  _ a: LinearArguments,
  _ pass: LinearPass,
  _ lower: Int,
  _ upper: Int
) {
  // A body for each number of tokens, up to what the registers of an instruction set hold.
  switch pass.tokens {
  case 2 where L.tokensAtOnce >= 2:
    quantizedTiles(TwoTokens<L>.self, F.self, a, pass, lower, upper)
  case 3 where L.tokensAtOnce >= 3:
    quantizedTiles(ThreeTokens<L>.self, F.self, a, pass, lower, upper)
  case 4 where L.tokensAtOnce >= 4:
    quantizedTiles(FourTokens<L>.self, F.self, a, pass, lower, upper)
  case 5 where L.tokensAtOnce >= 5:
    quantizedTiles(FiveTokens<L>.self, F.self, a, pass, lower, upper)
  case 6 where L.tokensAtOnce >= 6:
    quantizedTiles(SixTokens<L>.self, F.self, a, pass, lower, upper)
  case 7 where L.tokensAtOnce >= 7:
    quantizedTiles(SevenTokens<L>.self, F.self, a, pass, lower, upper)
  case 8 where L.tokensAtOnce >= 8:
    quantizedTiles(EightTokens<L>.self, F.self, a, pass, lower, upper)
  case 9 where L.tokensAtOnce >= 9:
    quantizedTiles(NineTokens<L>.self, F.self, a, pass, lower, upper)
  case 10 where L.tokensAtOnce >= 10:
    quantizedTiles(TenTokens<L>.self, F.self, a, pass, lower, upper)
  case 11 where L.tokensAtOnce >= 11:
    quantizedTiles(ElevenTokens<L>.self, F.self, a, pass, lower, upper)
  case 12 where L.tokensAtOnce >= 12:
    quantizedTiles(TwelveTokens<L>.self, F.self, a, pass, lower, upper)
  default:
    quantizedTiles(OneToken<L>.self, F.self, a, pass, lower, upper)
  }
}

/// `quantizedTiles` for the tokens of a group of sums, which `pass` has.
@inlinable @inline(__always)
func quantizedTiles<S: TokenSums, F: CodeFormat>(
  _: S.Type,
  _: F.Type,
  _ a: LinearArguments,
  _ pass: LinearPass,
  _ lower: Int,
  _ upper: Int
) where S.L: Lanes {
  typealias L = S.L
  let table = withUnsafePointer(to: a.codebook) { L.table(UnsafeRawPointer($0)) }
  let records = a.columns / ActivationRecord.count
  let blocks = (a.columns + ActivationRecord.scaleBlock - 1) / ActivationRecord.scaleBlock
  let recordsInBlock = ActivationRecord.scaleBlock / ActivationRecord.count
  let activations = a.activations + pass.first * records * ActivationRecord.bytes
  let activationScales = a.activationScales + pass.first * blocks

  for block in 0..<blocks {
    let first = block * recordsInBlock
    let count = min(recordsInBlock, records - first)
    let x = activations + first * S.count * ActivationRecord.bytes
    let blockScales = activationScales + block * S.count
    let isLast = block == blocks - 1
    let next = isLast ? activations : x + recordsInBlock * S.count * ActivationRecord.bytes
    let share = S.count == 1 ? 0 : (S.count + upper - lower - 1) / (upper - lower)
    for tile in lower..<upper {
      let codes = a.codes + tile * a.tileBytes + first * F.blockBytes
      let scales = a.groupScales + (tile * a.groups + first * F.groups) * 16
      let floats = pass.scratch.floats(tile - lower)
      let fetch = Fetch(
        activations: next + (tile - lower) * recordsInBlock * share * ActivationRecord.bytes,
        records: share,
        distance: upper - lower == 1 ? 6144 : 1024
      )
      if isLast, S.count > 1 { fetchResults(L.self, a, tile, pass.first, S.count) }
      if block == 0 {
        for token in 0..<S.count { SIMD16<Float>(repeating: 0).store(floats + token * 16) }
      }
      if L.partRows == 16 {
        quantizedBlock(S.self, F.self, table, codes, scales, x, count, fetch)
          .addProducts(blockScales, floats, stride: 16)
        continue
      }
      let integers = pass.scratch.integers
      var part = 0
      while part < 16 {
        quantizedBlock(S.self, F.self, table, codes + part * 4, scales + part, x, count, fetch)
          .store(to: integers + part * 4)
        part += L.partRows
      }
      for token in 0..<S.count {
        let sums = integers.load(fromByteOffset: token * 64, as: SIMD16<Int32>.self)
        addProducts(L.self, sums, blockScales[token], floats + token * 16)
      }
    }
  }
}

/// What the products of a row tile with 256 k fetch for those that follow.
@usableFromInline
struct Fetch {
  /// The row tile's share of the activations of the next 256 k, or of the first, where the next row tiles begin.
  ///
  /// Those of one token are in the first-level cache.
  @usableFromInline let activations: UnsafeRawPointer
  /// Records of activations to fetch beside each record.
  @usableFromInline let records: Int
  /// Bytes from the codes at hand to those fetched.
  ///
  /// Far where one row tile streams from memory, near where several come from the second-level cache and would
  /// drive each other out of the first.
  @usableFromInline let distance: Int

  @inlinable @inline(__always)
  init(activations: UnsafeRawPointer, records: Int, distance: Int) {
    self.activations = activations
    self.records = records
    self.distance = distance
  }
}

/// Fetches where the results of a row tile go: they lie too far apart for the processor to foresee.
@inlinable @inline(__always)
func fetchResults<L: Lanes>(
  _: L.Type,
  _ a: LinearArguments,
  _ tile: Int,
  _ first: Int,
  _ tokens: Int
) {
  for token in first..<(first + tokens) { L.prefetch(a.y + (token * a.yStride + tile * 16)) }
}

/// `floats += scale · float(sums)`, rounded once.
@inlinable @inline(__always)
func addProducts<L: Lanes>(
  _: L.Type,
  _ sums: SIMD16<Int32>,
  _ scale: Float,
  _ floats: UnsafeMutablePointer<Float>
) {
  L.float(sums).fma(SIMD16<Float>(repeating: scale), SIMD16<Float>.load(floats)).store(floats)
}

/// Sums over `count` records, at most 256 k, of one part of a tile.
///
/// Everything but the operands stays in registers: weights are unpacked beside the products, which
/// other execution units do.
@inlinable @inline(__always)
func quantizedBlock<S: TokenSums, F: CodeFormat>(
  _: S.Type,
  _: F.Type,
  _ table: S.L.Table,
  _ codes: UnsafeRawPointer,
  _ scales: UnsafeRawPointer,
  _ x: UnsafeRawPointer,
  _ count: Int,
  _ fetch: Fetch
) -> S where S.L: Lanes {
  typealias L = S.L
  var totals = S.zero
  var next = fetch.activations
  var codes = codes
  var scales = scales
  var x = x
  for _ in 0..<count {
    L.prefetch(scales + fetch.distance / 8)
    if S.count > 1 {
      let end = next + fetch.records * ActivationRecord.bytes
      while next < end {
        L.prefetch(next)
        next += ActivationRecord.bytes
      }
    }
    addRecord(F.self, table, codes, scales, x, distance: fetch.distance, &totals)
    codes += F.blockBytes
    scales += F.groups * 16
    x += S.count * ActivationRecord.bytes
  }
  return totals
}

/// Adds the products of 32 k to the sums of each token, and fetches the codes that lie `distance` bytes ahead.
@inlinable @inline(__always)
func addRecord<S: TokenSums, F: CodeFormat>(
  _: F.Type,
  _ table: S.L.Table,
  _ codes: UnsafeRawPointer,
  _ scales: UnsafeRawPointer,
  _ x: UnsafeRawPointer,
  distance: Int,
  _ totals: inout S
) where S.L: Lanes {
  typealias L = S.L
  let scale = L.groupScale(scales)
  var correction = ActivationRecord.supplement
  if F.groups == 2 { correction = ActivationRecord.halfCorrections }
  var products = totals.begin(correction: x + correction)
  addProducts(F.self, table, codes, 0, x, scale, distance: distance, &products)
  addProducts(F.self, table, codes, 2, x, scale, distance: distance, &products)
  var second = scale
  if F.groups == 2 {
    totals.end(products, scale)
    second = L.groupScale(scales + 16)
    products = totals.begin(correction: x + correction + 4)
  }
  addProducts(F.self, table, codes, 4, x, second, distance: distance, &products)
  addProducts(F.self, table, codes, 6, x, second, distance: distance, &products)
  totals.end(products, second)
}

/// Products of weights `index` and `index + 1` of 32 k, both unpacked before the first is multiplied: the
/// wait for memory then overlaps with other products.
@inlinable @inline(__always)
func addProducts<S: TokenSums, F: CodeFormat>(
  _: F.Type,
  _ table: S.L.Table,
  _ codes: UnsafeRawPointer,
  _ index: Int,
  _ x: UnsafeRawPointer,
  _ scale: S.L.GroupScale,
  distance: Int,
  _ products: inout S
) where S.L: Lanes {
  fetchLine(S.L.self, F.self, codes, index, distance: distance)
  fetchLine(S.L.self, F.self, codes, index + 1, distance: distance)
  let first = F.weights(S.L.self, codes, index, table)
  let second = F.weights(S.L.self, codes, index + 1, table)
  products.add(first, x + index * 4, scale)
  products.add(second, x + (index * 4 + 4), scale)
}

/// Fetches the line that lies `distance` bytes beyond the weights `index` of 32 k, if these begin one.
@inlinable @inline(__always)
func fetchLine<L: Lanes, F: CodeFormat>(
  _: L.Type,
  _: F.Type,
  _ codes: UnsafeRawPointer,
  _ index: Int,
  distance: Int
) {
  let offset = index * F.blockBytes / 8
  if offset % 64 == 0 { L.prefetch(codes + (distance + offset)) }
}

/// Row scale, bias, output scale, activation, and the store or addition into `y`: a row tile of `tokens` tokens from
/// `first` on, sums of a token 16 `floats` every `stride`.
@inlinable @inline(__always)
func finishTile<L: Lanes>(
  _: L.Type,
  _ a: LinearArguments,
  _ tile: Int,
  _ first: Int,
  _ tokens: Int,
  _ floats: UnsafePointer<Float>,
  stride: Int
) {
  typealias V = SIMD16<Float>
  let row = tile * 16
  let count = min(16, a.rows - row)
  // All that does not depend on the token is read before the first store, which might change it for all the
  // compiler knows.
  let rowScale =
    a.encoding.rawValue >= WeightEncoding.q8.rawValue ? V.load(a.rowScales + row) : V(repeating: 1)
  var bias = V(repeating: 0)
  if let p = a.bias { bias = V.load(p + row, count: count) }
  var scale = V(repeating: 1)
  if let p = a.outputScale {
    scale = a.outputScaleIsScalar ? V(repeating: p[0]) : V.load(p + row, count: count)
  }
  // Flags of their own: optional vectors do not stay in registers, and adding 0 would turn −0 into 0.
  let (hasBias, hasScale) = (a.bias != nil, a.outputScale != nil)
  let activation = a.activation
  let accumulates = a.accumulates
  let yStride = a.yStride
  var y = a.y + (first * yStride + row)
  var sums = floats
  for _ in 0..<tokens {
    var value = V.load(sums) * rowScale
    if hasBias { value = value + bias }
    if hasScale { value = value * scale }
    if let activation { value = activated(L.self, activation, value) }
    if accumulates { value = V.load(y, count: count) + value }
    value.store(y, count: count)
    sums += stride
    y += yStride
  }
}
