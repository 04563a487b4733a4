// What kernel bodies are told: plain pointers and sizes, checked by the façade before they get here.
// All pointers stay valid for the duration of one call; nothing here owns memory.

import Tensors

/// Float32 activations to quantise.
public struct QuantizeArguments {
  /// `[tokens, columns]`, rows `stride` elements apart.
  public var x: UnsafePointer<Float>
  /// Elements between rows.
  public var stride: Int
  /// Activations of a token.
  public var columns: Int
  /// Number of tokens.
  public var tokens: Int
  /// Records `[token tile][record of a row][token of the tile]`, see `TokenTiles`.
  public var records: UnsafeMutableRawPointer
  /// Scales `[token tile][block of a row][token of the tile]`.
  public var scales: UnsafeMutablePointer<Float>

  /// An argument list.
  public init(
    x: UnsafePointer<Float>,
    stride: Int,
    columns: Int,
    tokens: Int,
    records: UnsafeMutableRawPointer,
    scales: UnsafeMutablePointer<Float>
  ) {
    self.x = x
    self.stride = stride
    self.columns = columns
    self.tokens = tokens
    self.records = records
    self.scales = scales
  }
}

/// How tokens are grouped in packed activations: tiles of nearly equal width, so that one token
/// more never leaves a tile almost empty.
public struct TokenTiles {
  /// Most tokens of a tile, where nothing else is said.
  @inlinable public static var limit: Int { 12 }
  /// Number of tiles.
  @usableFromInline let count: Int
  /// Tokens of each wide tile.
  public let width: Int
  /// Number of wide tiles; they come first.
  @usableFromInline let wideTiles: Int
  /// Tokens of each of the other tiles.
  @usableFromInline let narrow: Int

  /// Tiles for `tokens` tokens, at most `limit` to a tile, that differ by one token at most.
  @inlinable @inline(__always)
  public init(_ tokens: Int, limit: Int = Self.limit) {
    count = max(1, (tokens + limit - 1) / limit)
    width = max(1, (tokens + count - 1) / count)
    narrow = max(1, width - 1)
    wideTiles = tokens - count * (width - 1)
  }

  /// Tiles of `width` tokens, then one of what is left.
  @inlinable @inline(__always)
  init(_ tokens: Int, width: Int) {
    count = max(1, (tokens + width - 1) / width)
    self.width = width
    wideTiles = tokens / width
    narrow = max(1, tokens % width)
  }

  /// Tokens of the tile that begins at token `first`.
  @inlinable @inline(__always)
  public func count(at first: Int) -> Int { first < wideTiles * width ? width : narrow }

  /// First token of the tile that `token` belongs to.
  @inlinable @inline(__always)
  func first(of token: Int) -> Int {
    let wide = wideTiles * width
    return token < wide ? token / width * width : wide + (token - wide) / narrow * narrow
  }
}

/// One matrix product `y = x Wᵀ`.
public struct LinearArguments {
  /// Coding of the weights.
  public var encoding: WeightEncoding
  /// Output features.
  public var rows: Int
  /// Input features, padded to records in quantised encodings.
  public var columns: Int
  /// Codes or values, `[tile]…`.
  public var codes: UnsafeRawPointer
  /// Bytes of a tile of `codes`.
  public var tileBytes: Int
  /// int8 group scales `[tile][group][16]`; unused by float encodings.
  public var groupScales: UnsafeRawPointer
  /// Groups of a row.
  public var groups: Int
  /// Row scales `[tile][16]`; unused by float encodings.
  public var rowScales: UnsafePointer<Float>
  /// The 16 codebook values.
  public var codebook: (UInt64, UInt64)
  /// Number of tokens.
  public var tokens: Int
  /// Packed activations: records, or float32 `[token tile][k block of 16][token][16]`.
  public var activations: UnsafeRawPointer
  /// Activation scales; unused by float encodings.
  public var activationScales: UnsafePointer<Float>
  /// Bias `[rows]`.
  public var bias: UnsafePointer<Float>?
  /// Output scale: one value or `[rows]`.
  public var outputScale: UnsafePointer<Float>?
  /// Whether `outputScale` has one value for all rows.
  public var outputScaleIsScalar: Bool
  /// What is applied to results.
  public var activation: ActivationKind?
  /// Whether results are added to `y`.
  public var accumulates: Bool
  /// Output `[tokens, …]`, first column of this matrix.
  public var y: UnsafeMutablePointer<Float>
  /// Elements between rows of `y`.
  public var yStride: Int

  /// An argument list; the operands beyond the product are set afterwards.
  public init(
    encoding: WeightEncoding,
    rows: Int,
    columns: Int,
    codes: UnsafeRawPointer,
    tileBytes: Int,
    groupScales: UnsafeRawPointer,
    groups: Int,
    rowScales: UnsafePointer<Float>,
    codebook: (UInt64, UInt64),
    tokens: Int,
    activations: UnsafeRawPointer,
    activationScales: UnsafePointer<Float>,
    y: UnsafeMutablePointer<Float>,
    yStride: Int
  ) {
    self.encoding = encoding
    self.rows = rows
    self.columns = columns
    self.codes = codes
    self.tileBytes = tileBytes
    self.groupScales = groupScales
    self.groups = groups
    self.rowScales = rowScales
    self.codebook = codebook
    self.tokens = tokens
    self.activations = activations
    self.activationScales = activationScales
    self.y = y
    self.yStride = yStride
    bias = nil
    outputScale = nil
    outputScaleIsScalar = false
    activation = nil
    accumulates = false
  }
}

/// Normalisation of vectors that lie `perRow` to a row.
public struct NormArguments {
  /// First vector of the first row.
  public var x: UnsafePointer<Float>
  /// Elements between rows of `x`.
  public var xStride: Int
  /// First result; may be `x`.
  public var y: UnsafeMutablePointer<Float>
  /// Elements between rows of `y`.
  public var yStride: Int
  /// Vectors of a row, adjacent.
  public var perRow: Int
  /// Elements of a vector.
  public var width: Int
  /// Factors `[width]`.
  public var weight: UnsafePointer<Float>
  /// Offsets `[width]`; present in a layer norm, absent in a root-mean-square norm.
  public var bias: UnsafePointer<Float>?
  /// Added to the variance or mean square.
  public var epsilon: Float

  /// An argument list.
  public init(
    x: UnsafePointer<Float>,
    xStride: Int,
    y: UnsafeMutablePointer<Float>,
    yStride: Int,
    perRow: Int,
    width: Int,
    weight: UnsafePointer<Float>,
    bias: UnsafePointer<Float>?,
    epsilon: Float
  ) {
    self.x = x
    self.xStride = xStride
    self.y = y
    self.yStride = yStride
    self.perRow = perRow
    self.width = width
    self.weight = weight
    self.bias = bias
    self.epsilon = epsilon
  }
}

/// Rotation of vector pairs by position-dependent angles.
public struct RotaryArguments {
  /// First head of the first row.
  public var x: UnsafeMutablePointer<Float>
  /// Elements between rows.
  public var stride: Int
  /// Heads of a row, adjacent.
  public var heads: Int
  /// Elements of a head, even.
  public var headDim: Int
  /// Position of each row, not negative.
  public var positions: UnsafePointer<Int32>
  /// Cosines `[position][headDim / 2]`.
  public var cosines: UnsafePointer<Float>
  /// Sines `[position][headDim / 2]`.
  public var sines: UnsafePointer<Float>

  /// An argument list.
  public init(
    x: UnsafeMutablePointer<Float>,
    stride: Int,
    heads: Int,
    headDim: Int,
    positions: UnsafePointer<Int32>,
    cosines: UnsafePointer<Float>,
    sines: UnsafePointer<Float>
  ) {
    self.x = x
    self.stride = stride
    self.heads = heads
    self.headDim = headDim
    self.positions = positions
    self.cosines = cosines
    self.sines = sines
  }
}
