// Dimensions of a tensor, with overflow-checked counts. Refuses negative dimensions and products
// that do not fit an `Int`; whether a zero dimension is acceptable is the caller's rule.

/// The dimensions of a tensor, outermost first.
public struct Shape: Sendable, Hashable, CustomStringConvertible {
  /// Extents, outermost first.
  public let dimensions: [Int]
  /// Product of the dimensions; 1 for a scalar.
  public let count: Int

  /// Creates a shape, or returns `nil` when a dimension is negative or the product overflows.
  public init?(_ dimensions: [Int]) {
    var count = 1
    for dimension in dimensions {
      guard dimension >= 0 else { return nil }
      let (product, overflow) = count.multipliedReportingOverflow(by: dimension)
      guard !overflow else { return nil }
      count = product
    }
    self.dimensions = dimensions
    self.count = count
  }

  /// Bytes of this many elements of `type`, or `nil` on overflow.
  public func byteCount(of type: DType) -> Int? {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: type.byteWidth)
    return overflow ? nil : bytes
  }

  /// The shape as `[rows, columns]` text.
  public var description: String {
    "[" + dimensions.map(String.init).joined(separator: ", ") + "]"
  }
}
