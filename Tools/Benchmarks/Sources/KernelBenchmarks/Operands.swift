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
        elements[index] = value()
      }
    }
    return activations
  }

  /// Random codes and group scales; float encodings hold values in −1…1.
  ///
  /// All planes lie in one region, as in the arena of a model: small ones of their own would lack huge pages.
  mutating func weights(_ layout: PackedLayout) -> PackedMatrix {
    let codes = layout.byteCount(.codes)
    let scales = (layout.byteCount(.scales) + 63) / 64 * 64
    let rowScales = layout.byteCount(.rowScales)
    var buffer = AlignedBuffer<UInt8>(count: codes + scales + rowScales)
    buffer.withMutableElements { elements in
      let bytes = UnsafeMutableRawBufferPointer(elements)
      switch layout.encoding {
      case .q8, .q4g32, .q4g16:
        for index in 0..<(codes + scales) { bytes[index] = UInt8(truncatingIfNeeded: next()) }
      case .f32:
        for offset in stride(from: 0, to: codes, by: 4) {
          bytes.storeBytes(of: value(), toByteOffset: offset, as: Float.self)
        }
      case .bf16:
        for offset in stride(from: 0, to: codes, by: 2) {
          let bits = BFloat16(value()).bitPattern
          bytes.storeBytes(of: bits, toByteOffset: offset, as: UInt16.self)
        }
      }
      for offset in stride(from: codes + scales, to: bytes.count, by: 4) {
        bytes.storeBytes(of: 1e-4, toByteOffset: offset, as: Float.self)
      }
    }
    let region = buffer.freeze()
    func plane(at offset: Int, _ count: Int) -> ByteSlice? {
      count == 0 ? nil : ByteSlice(region, offset: offset, count: count)
    }
    guard
      let matrix = PackedMatrix(
        layout: layout,
        codes: plane(at: 0, codes) ?? ByteSlice(region),
        scales: plane(at: codes, layout.byteCount(.scales)),
        rowScales: plane(at: codes + scales, rowScales)
      )
    else { preconditionFailure("planes have the sizes of their layout") }
    return matrix
  }

  /// A value in −1…1.
  private mutating func value() -> Float { Float(next() & 0xffff) / 32768 - 1 }
}
