// What the kernels are given: random weights and activations, and caches full of random tokens.

import Kernels
import Tensors

/// A matrix that several closures write to.
final class Activations {
  var matrix: Matrix

  init(rows: Int, columns: Int) { matrix = Matrix(rows: rows, columns: columns) }
}

/// A product with operands of its own.
final class Product {
  private let weights: PackedMatrix
  private let x: Activations
  private let y: Activations

  init(_ weights: PackedMatrix, _ x: Activations) {
    self.weights = weights
    self.x = x
    y = Activations(rows: x.matrix.rows, columns: weights.rows)
  }

  func run(_ context: ComputeContext) { context.linear(x.matrix, weights, into: &y.matrix) }
}

/// Keys and values of one layer of LLaMA-7B, 32 heads of 128.
final class AttentionLayer {
  private let store: PageStore
  private let pages: [Int32]
  private let depth: Int

  init(
    _ context: ComputeContext,
    depth: Int,
    element: KVElement,
    _ noise: inout Noise
  ) throws(KernelError) {
    self.depth = depth
    pages = (0..<Int32((depth + 15) / 16)).map { $0 }
    store = try PageStore(pages: pages.count, heads: 32, headDim: 128, element: element)
    let tokens = noise.activations(rows: depth, columns: 4096)
    context.store(
      keys: tokens.matrix,
      keyColumn: 0,
      values: tokens.matrix,
      valueColumn: 0,
      spans: [StoreSpan(rows: 0..<depth, pages: pages, start: 0)],
      into: store
    )
  }

  /// Bytes that one query reads.
  var byteCount: Int { pages.count * store.bytesPerPage }

  /// Attention of the last `q.rows` tokens.
  func attend(_ context: ComputeContext, _ q: Activations, into out: Activations) {
    let span = AttentionSpan(
      queryRows: 0..<q.matrix.rows,
      pages: pages,
      keyCount: depth,
      isCausal: true
    )
    context.attention(
      q.matrix,
      column: 0,
      scale: 0.088,
      spans: [span],
      cache: store,
      into: &out.matrix
    )
  }
}

/// A source of numbers that look random: a linear congruential generator.
struct Noise {
  private var state: UInt64 = 0x9e37_79b9_7f4a_7c15

  private mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return state >> 32
  }

  /// Values in −1…1.
  mutating func activations(rows: Int, columns: Int) -> Activations {
    let activations = Activations(rows: rows, columns: columns)
    activations.matrix.storage.withMutableElements { elements in
      for index in elements.indices {
        elements[index] = Float(next() & 0xffff) / 32768 - 1
      }
    }
    return activations
  }

  /// Random codes and group scales; float encodings hold values in −1…1.
  mutating func weights(_ layout: PackedLayout) -> PackedMatrix {
    let matrix = PackedMatrix(
      layout: layout,
      codes: ByteSlice(codes(layout)),
      scales: layout.encoding.isQuantized ? ByteSlice(bytes(layout.byteCount(.scales))) : nil,
      rowScales: layout.encoding.isQuantized ? ByteSlice(rowScales(layout)) : nil
    )
    guard let matrix else { preconditionFailure("planes have the sizes of their layout") }
    return matrix
  }

  private mutating func codes(_ layout: PackedLayout) -> ByteRegion {
    let count = layout.byteCount(.codes)
    switch layout.encoding {
    case .q8, .q4g32, .q4g16: return bytes(count)
    case .f32:
      var buffer = AlignedBuffer<Float>(count: count / 4)
      for index in 0..<buffer.count { buffer[index] = Float(next() & 0xffff) / 32768 - 1 }
      return buffer.freeze()
    case .bf16:
      var buffer = AlignedBuffer<UInt16>(count: count / 2)
      for index in 0..<buffer.count {
        buffer[index] = BFloat16(Float(next() & 0xffff) / 32768 - 1).bitPattern
      }
      return buffer.freeze()
    }
  }

  private mutating func bytes(_ count: Int) -> ByteRegion {
    var buffer = AlignedBuffer<UInt8>(count: count)
    buffer.withMutableElements { elements in
      for index in elements.indices { elements[index] = UInt8(truncatingIfNeeded: next()) }
    }
    return buffer.freeze()
  }

  private func rowScales(_ layout: PackedLayout) -> ByteRegion {
    var buffer = AlignedBuffer<Float>(count: layout.byteCount(.rowScales) / 4)
    for index in 0..<buffer.count { buffer[index] = 1e-4 }
    return buffer.freeze()
  }
}
