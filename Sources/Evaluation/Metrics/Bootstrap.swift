// Confidence intervals by resampling items. Seeded: the same results give the same interval everywhere.

import Idefix

/// A value with the interval that 95 % of resampled data sets fall into.
public struct Estimate: Sendable, Equatable, Codable {
  /// The value of the data as they are.
  public var value: Double
  /// 2.5th percentile of the resampled values.
  public var low: Double
  /// 97.5th percentile of the resampled values.
  public var high: Double

  /// An estimate.
  public init(value: Double, low: Double, high: Double) {
    self.value = value
    self.low = low
    self.high = high
  }
}

/// The percentile bootstrap.
///
/// Source: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
public struct Bootstrap: Sendable {
  /// Resampled data sets.
  public var replicates: Int
  /// Seed of the resampling.
  public var seed: UInt64

  /// A bootstrap of some replicates.
  public init(replicates: Int = 1000, seed: UInt64 = 0) {
    self.replicates = replicates
    self.seed = seed
  }

  /// The mean of `values`.
  public func mean(_ values: [Double]) -> Estimate {
    estimate(values.map { [$0, 1] }) { $0[0] / $0[1] }
  }

  /// A statistic of summed rows.
  ///
  /// - Parameters:
  ///   - rows: One row an item, all of the same width.
  ///   - statistic: The value that belongs to the sum of the rows.
  /// - Returns: The value of all rows; NaN without rows.
  /// - Complexity: `replicates` times the number of rows.
  public func estimate(_ rows: [[Double]], statistic: ([Double]) -> Double) -> Estimate {
    guard let width = rows.first?.count else { return Estimate(value: .nan, low: .nan, high: .nan) }
    let flat = rows.flatMap(\.self)
    var sums = [Double](repeating: 0, count: width)
    func add(_ item: Int) {
      for column in 0..<width { sums[column] += flat[item * width + column] }
    }
    rows.indices.forEach(add)
    let value = statistic(sums)
    var values: [Double] = []
    for replicate in 0..<replicates {
      let random = RandomStream(seed: seed, sequence: replicate)
      for column in 0..<width { sums[column] = 0 }
      for draw in rows.indices {
        add(min(Int(random.uniform(at: draw) * Double(rows.count)), rows.count - 1))
      }
      values.append(statistic(sums))
    }
    values.sort()
    return Estimate(
      value: value,
      low: Percentile.of(sorted: values, 2.5),
      high: Percentile.of(sorted: values, 97.5)
    )
  }
}

/// Percentiles with linear interpolation between the two nearest values.
public enum Percentile {
  /// The value below which `percent` of 100 of the values lie; NaN without values.
  ///
  /// - Precondition: `values` is sorted and `percent` is within 0 to 100.
  public static func of(sorted values: [Double], _ percent: Double) -> Double {
    guard !values.isEmpty else { return .nan }
    let place = percent / 100 * Double(values.count - 1)
    let below = min(Int(place), values.count - 1)
    let above = min(below + 1, values.count - 1)
    return values[below] + (values[above] - values[below]) * (place - Double(below))
  }
}
