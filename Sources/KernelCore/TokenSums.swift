// Integer sums of adjacent tokens, one part of a row tile each: a fixed number of registers, put
// together from single tokens, so that a kernel body is written once for every number of tokens.

/// The sums of `count` tokens whose records lie `ActivationRecord.bytes` apart.
@usableFromInline
protocol TokenSums {
  associatedtype L: ProductLanes
  /// Number of tokens.
  static var count: Int { get }
  /// No products.
  static var zero: Self { get }
  /// The accumulators of a group, with the corrections from `p` on; see `Lanes.begin`.
  func begin(correction p: UnsafeRawPointer) -> Self
  /// Adds the products of 4 k with the activations from `x` on; see `Lanes.dot`.
  mutating func add(_ weights: L.Weights, _ x: UnsafeRawPointer, _ scale: L.GroupScale)
  /// Ends a group that `begin` has begun; see `Lanes.end`.
  mutating func end(_ products: Self, _ scale: L.GroupScale)
  /// Writes the sums as int32 `[token][16]` from `p` on, for parts of up to 16 rows.
  func store(to p: UnsafeMutableRawPointer)
  /// `floats += scales[token] · sums` for whole row tiles, `partRows` floats of a token every `stride`.
  func addProducts(
    _ scales: UnsafePointer<Float>,
    _ floats: UnsafeMutablePointer<Float>,
    stride: Int
  )
}

/// One token.
@usableFromInline
struct OneToken<L: ProductLanes>: TokenSums {
  @usableFromInline var sums: L.Sums

  @inlinable @inline(__always)
  init(_ sums: L.Sums) { self.sums = sums }

  @inlinable @inline(__always)
  static var count: Int { 1 }

  @inlinable @inline(__always)
  static var zero: Self { Self(L.zero) }

  @inlinable @inline(__always)
  func begin(correction p: UnsafeRawPointer) -> Self { Self(L.begin(sums, correction: p)) }

  @inlinable @inline(__always)
  mutating func add(_ weights: L.Weights, _ x: UnsafeRawPointer, _ scale: L.GroupScale) {
    sums = L.dot(sums, weights, x, scale)
  }

  @inlinable @inline(__always)
  mutating func end(_ products: Self, _ scale: L.GroupScale) {
    sums = L.end(sums, products.sums, scale)
  }

  @inlinable @inline(__always)
  func store(to p: UnsafeMutableRawPointer) { L.store(sums, to: p) }

  @inlinable @inline(__always)
  func addProducts(
    _ scales: UnsafePointer<Float>,
    _ floats: UnsafeMutablePointer<Float>,
    stride: Int
  ) {
    L.addProducts(sums, scales[0], floats)
  }
}

/// The tokens of `A`, then those of `B`.
@usableFromInline
struct Tokens<A: TokenSums, B: TokenSums>: TokenSums where A.L == B.L {
  @usableFromInline typealias L = A.L
  @usableFromInline var a: A
  @usableFromInline var b: B

  @inlinable @inline(__always)
  init(_ a: A, _ b: B) {
    self.a = a
    self.b = b
  }

  @inlinable @inline(__always)
  static var count: Int { A.count + B.count }

  @inlinable @inline(__always)
  static var zero: Self { Self(A.zero, B.zero) }

  @inlinable @inline(__always)
  func begin(correction p: UnsafeRawPointer) -> Self {
    Self(a.begin(correction: p), b.begin(correction: p + A.count * ActivationRecord.bytes))
  }

  @inlinable @inline(__always)
  mutating func add(_ weights: L.Weights, _ x: UnsafeRawPointer, _ scale: L.GroupScale) {
    a.add(weights, x, scale)
    b.add(weights, x + A.count * ActivationRecord.bytes, scale)
  }

  @inlinable @inline(__always)
  mutating func end(_ products: Self, _ scale: L.GroupScale) {
    a.end(products.a, scale)
    b.end(products.b, scale)
  }

  @inlinable @inline(__always)
  func store(to p: UnsafeMutableRawPointer) {
    a.store(to: p)
    b.store(to: p + A.count * 64)
  }

  @inlinable @inline(__always)
  func addProducts(
    _ scales: UnsafePointer<Float>,
    _ floats: UnsafeMutablePointer<Float>,
    stride: Int
  ) {
    a.addProducts(scales, floats, stride: stride)
    b.addProducts(scales + A.count, floats + A.count * stride, stride: stride)
  }
}

@usableFromInline typealias TwoTokens<L: ProductLanes> = Tokens<OneToken<L>, OneToken<L>>
@usableFromInline typealias ThreeTokens<L: ProductLanes> = Tokens<TwoTokens<L>, OneToken<L>>
@usableFromInline typealias FourTokens<L: ProductLanes> = Tokens<TwoTokens<L>, TwoTokens<L>>
@usableFromInline typealias FiveTokens<L: ProductLanes> = Tokens<ThreeTokens<L>, TwoTokens<L>>
@usableFromInline typealias SixTokens<L: ProductLanes> = Tokens<ThreeTokens<L>, ThreeTokens<L>>
@usableFromInline typealias SevenTokens<L: ProductLanes> = Tokens<FourTokens<L>, ThreeTokens<L>>
@usableFromInline typealias EightTokens<L: ProductLanes> = Tokens<FourTokens<L>, FourTokens<L>>
@usableFromInline typealias NineTokens<L: ProductLanes> = Tokens<FiveTokens<L>, FourTokens<L>>
@usableFromInline typealias TenTokens<L: ProductLanes> = Tokens<FiveTokens<L>, FiveTokens<L>>
@usableFromInline typealias ElevenTokens<L: ProductLanes> = Tokens<SixTokens<L>, FiveTokens<L>>
@usableFromInline typealias TwelveTokens<L: ProductLanes> = Tokens<SixTokens<L>, SixTokens<L>>
