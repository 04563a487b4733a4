// How keys and values of 16 tokens lie in a page: byte arithmetic only.
//
//     keys          [head][paddedDim][16 tokens]      a vector holds one dimension of 16 tokens
//     values        [head][16 tokens][paddedDim]      a vector holds 16 dimensions of one token
//     key scales    [head][16 tokens] float32         int8 only
//     value scales  [head][16 tokens] float32         int8 only
//
// Dimensions beyond `headDim` are zero for every token that was stored.

/// Element type of keys and values.
public enum PageElement: UInt8, Sendable {
  /// float32.
  case float32
  /// float16, rounded to nearest even, clamped to the finite range.
  case float16
  /// int8 with one float32 scale per token and head.
  case int8

  /// Bytes of an element.
  @inlinable @inline(__always)
  public var bytes: Int {
    switch self {
    case .float32: 4
    case .float16: 2
    case .int8: 1
    }
  }
}

/// Sizes and offsets of one page.
public struct PageGeometry: Sendable, Hashable {
  /// Tokens of a page.
  @inlinable public static var tokens: Int { 16 }
  /// Attention heads.
  public let heads: Int
  /// Elements of a head.
  public let headDim: Int
  /// Element type.
  public let element: PageElement

  /// A geometry; the caller has checked that the sizes are positive and small.
  public init(heads: Int, headDim: Int, element: PageElement) {
    self.heads = heads
    self.headDim = headDim
    self.element = element
  }

  /// `headDim` rounded up to whole vectors.
  @inlinable @inline(__always)
  public var paddedDim: Int { (headDim + 15) / 16 * 16 }
  /// Bytes of the keys, or the values, of one head.
  @inlinable @inline(__always)
  public var headBytes: Int { paddedDim * Self.tokens * element.bytes }
  /// Offset of the values.
  @inlinable @inline(__always)
  public var valueOffset: Int { heads * headBytes }
  /// Offset of the key scales.
  @inlinable @inline(__always)
  public var keyScaleOffset: Int { 2 * heads * headBytes }
  /// Offset of the value scales.
  @inlinable @inline(__always)
  public var valueScaleOffset: Int { keyScaleOffset + heads * 64 }
  /// Bytes of a page.
  @inlinable @inline(__always)
  public var pageBytes: Int {
    element == .int8 ? valueScaleOffset + heads * 64 : keyScaleOffset
  }
}

/// Keys and values of consecutive tokens to write into pages.
public struct StoreArguments {
  /// First head of the first token's key.
  public var keys: UnsafePointer<Float>
  /// Elements between rows of `keys`.
  public var keyStride: Int
  /// First head of the first token's value.
  public var values: UnsafePointer<Float>
  /// Elements between rows of `values`.
  public var valueStride: Int
  /// Number of tokens.
  public var tokens: Int
  /// Position of the first token in the sequence: token i is slot `i % 16` of page `i / 16`.
  public var start: Int
  /// Page numbers of the sequence.
  public var pages: UnsafePointer<Int32>
  /// Page 0.
  public var base: UnsafeMutableRawPointer
  /// Sizes of a page.
  public var geometry: PageGeometry

  /// An argument list.
  public init(
    keys: UnsafePointer<Float>,
    keyStride: Int,
    values: UnsafePointer<Float>,
    valueStride: Int,
    tokens: Int,
    start: Int,
    pages: UnsafePointer<Int32>,
    base: UnsafeMutableRawPointer,
    geometry: PageGeometry
  ) {
    self.keys = keys
    self.keyStride = keyStride
    self.values = values
    self.valueStride = valueStride
    self.tokens = tokens
    self.start = start
    self.pages = pages
    self.base = base
    self.geometry = geometry
  }
}
