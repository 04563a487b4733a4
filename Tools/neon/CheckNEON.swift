// Compares the kernels of NEON with the portable ones, bit by bit, on a machine that need not be an
// Arm: built by Tools/check-neon in Embedded Swift, where neither Testing nor Foundation exist.

import Glibc
import Kernels
import Tensors

/// Values from a seed (SplitMix64).
struct Generator {
  private var state: UInt64

  init(seed: UInt64) { state = seed &* 0x9e37_79b9_7f4a_7c15 }

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  /// The sum of four uniform values, scaled to unit variance.
  mutating func value() -> Float {
    let bits = next()
    var sum: Float = -2
    for part in 0..<4 {
      sum += Float(UInt16(truncatingIfNeeded: bits >> UInt64(16 * part))) / 65536
    }
    return sum * 1.732
  }
}

/// Some rows are far larger than others, some values are zero.
func sample(rows: Int, columns: Int, seed: UInt64) -> Matrix {
  var generator = Generator(seed: seed)
  var matrix = Matrix(rows: rows, columns: columns)
  for row in 0..<rows {
    for column in 0..<columns {
      let value = generator.value() * (row % 4 == 2 ? 37.5 : 1)
      matrix[row, column] = (row * columns + column) % 11 == 3 ? 0 : value
    }
  }
  return matrix
}

func vector(_ count: Int, seed: UInt64, around centre: Float = 0) -> DenseTensor? {
  var generator = Generator(seed: seed)
  let values = (0..<count).map { _ in generator.value() * 0.5 + centre }
  return Shape([count]).flatMap { DenseTensor(shape: $0, values: values) }
}

/// Weights whose every fifth group scale is negative, with a codebook that reaches both ends.
func weights(rows: Int, columns: Int, _ encoding: WeightEncoding, seed: UInt64) -> PackedMatrix? {
  var generator = Generator(seed: seed)
  let values = (0..<(rows * columns)).map { _ in generator.value() * 0.1 }
  let codebook = Codebook([
    -127, -100, -79, -60, -44, -29, -15, -3, 0, 8, 21, 36, 53, 73, 97, 127,
  ])
  guard let codebook,
    let matrix = ReferenceQuantizer.pack(
      values,
      rows: rows,
      columns: columns,
      encoding: encoding,
      codebook: codebook
    )
  else { return nil }
  guard let scales = matrix.scales else { return matrix }
  var flipped = AlignedBuffer<Int8>(count: scales.count)
  for index in 0..<scales.count {
    let scale = Int8(bitPattern: scales.bytes[index])
    flipped[index] = index % 5 == 0 ? -scale : scale
  }
  return PackedMatrix(
    layout: matrix.layout,
    codebook: codebook,
    codes: matrix.codes,
    scales: ByteSlice(flipped.freeze()),
    rowScales: matrix.rowScales
  )
}

func bits(_ matrix: borrowing Matrix) -> [UInt32] { matrix.values().map { $0.bitPattern } }

let awkward: [(n: Int, k: Int)] = [
  (1, 1), (15, 31), (17, 588), (16, 1), (48, 256), (33, 96), (17, 300), (1, 545),
]

/// Every encoding, awkward shapes, 1 to 17 tokens and enough for any other way of large batches; every
/// activation function.
func products(_ context: ComputeContext) -> [[UInt32]] {
  var results: [[UInt32]] = []
  for encoding in WeightEncoding.allCases {
    for (n, k) in awkward {
      guard let w = weights(rows: n, columns: k, encoding, seed: 21) else { return [] }
      for tokens in n == 17 && k == 300 ? Array(1...17) + [41, 74] : [1, 2, 5, 17] {
        var y = Matrix(rows: tokens, columns: n)
        let x = sample(rows: tokens, columns: k, seed: 23)
        context.linear(x, w, bias: vector(n, seed: 22), into: &y)
        context.linearAdd(x, w, scale: vector(n, seed: 24), into: &y)
        results.append(bits(y))
        for function in Activation.allCases where tokens == 2 {
          context.linear(x, w, bias: vector(n, seed: 22), activation: function, into: &y)
          results.append(bits(y))
        }
      }
    }
  }
  return results
}

/// Norms, gates, rotary embedding and addition.
func elementwise(_ context: ComputeContext) -> [[UInt32]] {
  var results: [[UInt32]] = []
  for width in [1, 8, 15, 16, 31, 128, 588] {
    let x = sample(rows: 17, columns: width, seed: 4)
    guard let weight = vector(width, seed: 5, around: 1), let bias = vector(width, seed: 6) else {
      return []
    }
    var y = Matrix(rows: 17, columns: width)
    context.rmsNorm(x, weight: weight, eps: 1e-6, into: &y)
    results.append(bits(y))
    context.layerNorm(x, weight: weight, bias: bias, eps: 1e-5, into: &y)
    results.append(bits(y))
    context.add(x, into: &y)
    results.append(bits(y))
    guard width % 2 == 0 else { continue }
    var gated = Matrix(rows: 17, columns: width / 2)
    context.siluGate(x, into: &gated)
    results.append(bits(gated))
    var turned = sample(rows: 17, columns: width, seed: 4)
    context.rotary(
      &turned,
      column: 0,
      heads: 1,
      headDim: width,
      positions: (0..<17).map { $0 * 97 }
    )
    results.append(bits(turned))
  }
  return results
}

/// Stored pages and attention over them, causal or not, by one query and by many.
func attention(_ context: ComputeContext) -> [[UInt32]] {
  var results: [[UInt32]] = []
  for element in KVElement.allCases {
    for (heads, headDim, keys) in [(2, 128, 70), (3, 80, 33), (1, 96, 16), (2, 8, 1), (1, 24, 47)] {
      let width = heads * headDim
      guard let cache = try? PageStore(pages: 11, heads: heads, headDim: headDim, element: element)
      else { return [] }
      let pages = (0..<Int32((keys + 15) / 16)).map { ($0 * 5 + 3) % 11 }
      for page in pages { cache.poison(page) }
      context.store(
        keys: sample(rows: keys, columns: width + 3, seed: 100),
        keyColumn: 3,
        values: sample(rows: keys, columns: width, seed: 101),
        valueColumn: 0,
        spans: [StoreSpan(rows: 0..<keys, pages: pages, start: 0)],
        into: cache
      )
      for page in pages { results.append(cache.bytes(of: page).map(UInt32.init)) }
      for queries in [1, min(keys, 19)] {
        for isCausal in [false, true] {
          var y = Matrix(rows: queries, columns: width)
          context.attention(
            sample(rows: queries, columns: width + 5, seed: 102),
            column: 5,
            scale: 0.0005,
            spans: [
              AttentionSpan(
                queryRows: 0..<queries,
                pages: pages,
                keyCount: keys,
                isCausal: isCausal
              )
            ],
            cache: cache,
            into: &y
          )
          results.append(bits(y))
        }
      }
    }
  }
  return results
}

/// Scales, errors and codes of rounding to a codebook, with and without weights of columns.
func rounding(_ context: ComputeContext) -> [[UInt32]] {
  let entries: [Float] = [
    -127, -103, -83, -66, -51, -38, -26, -14, -3, 9, 22, 35, 50, 66, 84, 116,
  ]
  // Cells of width one half: entry i begins half-way from the one before.
  let firsts = entries.indices.map { i -> Int? in
    i == 0 ? -1024 : Int((entries[i - 1] + entries[i]).rounded(.up))
  }
  var results: [[UInt32]] = []
  for group in [16, 32] {
    let kernels = CodebookRounding(
      isa: context.isa,
      entries: entries,
      firstCells: firsts,
      targets: [-127, 116, -100],
      group: group
    )
    var generator = Generator(seed: 7)
    var x: [SIMD16<Float>] = []
    for k in 0..<(6 * group) {
      var vector = SIMD16<Float>(repeating: 0)
      for lane in 0..<16 where k / group != 2 { vector[lane] = generator.value() }
      x.append(vector)
    }
    let importance = x.map { abs($0[1]) }
    for isWeighted in [false, true] {
      var scales = [SIMD16<Float>](repeating: SIMD16(repeating: 0), count: 6)
      var codes = [UInt8](repeating: 0, count: 8 * x.count)
      x.withUnsafeBufferPointer { x in
        scales.withUnsafeMutableBufferPointer { scales in
          importance.withUnsafeBufferPointer {
            let weights = isWeighted ? $0 : nil
            kernels.findScales(of: x, columns: x.count - 7, importance: weights, into: scales)
          }
          results.append(scales.flatMap { v in (0..<16).map { v[$0].bitPattern } })
          codes.withUnsafeMutableBytes {
            kernels.round(x, columns: x.count - 7, scales: scales, codes: $0)
          }
          results.append(scales.flatMap { v in (0..<16).map { v[$0].bitPattern } })
        }
      }
      results.append(codes.map(UInt32.init))
    }
  }
  return results
}

/// Results of `group` on both instruction sets; returns whether all are there and equal.
func compare(_ name: StaticString, _ group: (ComputeContext) -> [[UInt32]]) -> Bool {
  guard let oracle = try? ComputeContext(isa: .portable, threads: 1) else { return false }
  let expected = group(oracle)
  var isEqual = !expected.isEmpty
  for threads in [1, 2, 3, 7] {
    guard let context = try? ComputeContext(isa: .neon, threads: threads) else {
      print("check-neon: this processor has no dot product or half precision")
      return false
    }
    let actual = group(context)
    let wrong = zip(expected, actual).reduce(0) { $0 + ($1.0 == $1.1 ? 0 : 1) }
    if actual.count != expected.count || wrong > 0 {
      print("check-neon: \(name), \(threads) threads: \(wrong) of \(expected.count) results differ")
      isEqual = false
    }
  }
  if isEqual { print("check-neon: \(name): \(expected.count) results, all bits equal") }
  return isEqual
}

@main enum Check {
  static func main() {
    let outcomes = [
      compare("products", products), compare("elementwise", elementwise),
      compare("attention", attention), compare("rounding", rounding),
    ]
    if outcomes.contains(false) { exit(1) }
  }
}
