// One series of measurements: a counter, a gauge or a histogram, behind the handler protocols of swift-metrics.

import CoreMetrics
import Foundation
import Synchronization

/// Upper bounds of histogram buckets, ascending; what is larger counts only in `+Inf`.
enum Buckets {
  /// Seconds: those of text-generation-inference, `0.00015 · 1.5^k`.
  static let seconds = (0..<35).map { 0.00015 * pow(1.5, Double($0)) }
  /// Tokens and sequences: powers of two.
  static let counts = (0..<16).map { pow(2, Double($0)) }
}

/// One series; calls that do not fit its kind are not made by swift-metrics.
final class MetricSeries: CounterHandler, FloatingPointCounterHandler, MeterHandler,
  RecorderHandler, TimerHandler
{
  /// What a series is, by its name in the text format.
  enum Kind: String {
    case counter
    case gauge
    case histogram
  }

  private struct State {
    /// Value of a counter or gauge, sum of a histogram.
    var value = 0.0
    var observations = 0
    var counts: [Int]
  }

  private let kind: Kind
  private let buckets: [Double]
  private let state: Mutex<State>

  init(_ kind: Kind, buckets: [Double] = []) {
    self.kind = kind
    self.buckets = buckets
    state = Mutex(State(counts: [Int](repeating: 0, count: buckets.count)))
  }

  func increment(by amount: Int64) { increment(by: Double(amount)) }

  func increment(by amount: Double) { state.withLock { $0.value += amount } }

  func decrement(by amount: Double) { increment(by: -amount) }

  func set(_ value: Int64) { set(Double(value)) }

  func set(_ value: Double) { state.withLock { $0.value = value } }

  func reset() { set(0.0) }

  func record(_ value: Int64) { record(Double(value)) }

  func record(_ value: Double) {
    guard kind == .histogram else { return set(value) }
    let bucket = buckets.firstIndex { value <= $0 }
    state.withLock { state in
      state.value += value
      state.observations += 1
      if let bucket { state.counts[bucket] += 1 }
    }
  }

  func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

  /// Lines of the text format; `labels` are rendered, `{…}` or nothing.
  func render(name: String, labels: String) -> String {
    let state = state.withLock { $0 }
    guard kind == .histogram else { return "\(name)\(labels) \(Self.text(state.value))\n" }
    let others = labels.isEmpty ? "" : labels.dropFirst().dropLast() + ","
    var text = ""
    var cumulative = 0
    for (bound, count) in zip(buckets, state.counts) {
      cumulative += count
      text += "\(name)_bucket{\(others)le=\"\(bound)\"} \(cumulative)\n"
    }
    text += "\(name)_bucket{\(others)le=\"+Inf\"} \(state.observations)\n"
    text += "\(name)_sum\(labels) \(state.value)\n"
    return text + "\(name)_count\(labels) \(state.observations)\n"
  }

  /// Whole numbers without a fraction, as counters are expected.
  private static func text(_ value: Double) -> String {
    Int(exactly: value).map { "\($0)" } ?? "\(value)"
  }
}
