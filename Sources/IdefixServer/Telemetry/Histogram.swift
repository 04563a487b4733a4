// A Prometheus histogram: cumulative buckets, sum and count. Plain values; Metrics guards them.

import Foundation

/// Observations sorted into buckets.
struct Histogram: Sendable {
  /// Upper bounds of the buckets, ascending; what is larger counts only in `+Inf`.
  let bounds: [Double]
  private(set) var counts: [Int]
  private(set) var sum = 0.0
  private(set) var count = 0

  init(bounds: [Double]) {
    self.bounds = bounds
    counts = [Int](repeating: 0, count: bounds.count)
  }

  /// `first · factor^k`, `count` buckets.
  static func exponential(first: Double, factor: Double, count: Int) -> Histogram {
    Histogram(bounds: (0..<count).map { first * pow(factor, Double($0)) })
  }

  /// Buckets of text-generation-inference for seconds.
  static let seconds = exponential(first: 0.00015, factor: 1.5, count: 35)
  /// Buckets for token counts.
  static let tokens = exponential(first: 1, factor: 2, count: 16)

  mutating func observe(_ value: Double) {
    sum += value
    count += 1
    if let index = bounds.firstIndex(where: { value <= $0 }) { counts[index] += 1 }
  }

  /// Lines of the text format.
  func render(name: String) -> String {
    var text = "# TYPE \(name) histogram\n"
    var cumulative = 0
    for (bound, count) in zip(bounds, counts) {
      cumulative += count
      text += "\(name)_bucket{le=\"\(bound)\"} \(cumulative)\n"
    }
    text += "\(name)_bucket{le=\"+Inf\"} \(count)\n"
    return text + "\(name)_sum \(sum)\n\(name)_count \(count)\n"
  }
}
