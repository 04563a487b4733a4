// A backend of swift-metrics that keeps every series in memory and writes them in Prometheus's text format. Bounded:
// beyond a number of series, new ones are counted nowhere.

import CoreMetrics
import Synchronization

/// All series of a server by name and labels.
package final class PrometheusRegistry: MetricsFactory {
  private struct Family {
    let kind: MetricSeries.Kind
    /// By rendered labels, `{route="/info"}` or nothing.
    var series: [String: MetricSeries] = [:]
  }

  private struct State {
    var families: [String: Family] = [:]
    var count = 0
  }

  private let state = Mutex(State())

  /// Most series kept.
  static let capacity = 2000

  /// No series yet.
  package init() {}

  /// Every series in the text format, sorted by name and labels.
  package func render() -> String {
    let families = state.withLock { $0.families }
    var text = ""
    for (name, family) in families.sorted(by: { $0.key < $1.key }) {
      text += "# TYPE \(name) \(family.kind.rawValue)\n"
      for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
        text += series.render(name: name, labels: labels)
      }
    }
    return text
  }

  /// The series of this name and these labels, made if it is new.
  ///
  /// A name keeps the kind it was first used with.
  private func series(
    _ kind: MetricSeries.Kind,
    _ label: String,
    _ dimensions: [(String, String)],
    buckets: [Double] = []
  ) -> MetricSeries {
    let name = Self.name(label)
    let labels = Self.labels(dimensions)
    return state.withLock { state in
      var family = state.families[name] ?? Family(kind: kind)
      if family.kind == kind, let known = family.series[labels] { return known }
      let series = MetricSeries(kind, buckets: buckets)
      if family.kind == kind, state.count < Self.capacity {
        state.count += 1
        family.series[labels] = series
        state.families[name] = family
      }
      return series
    }
  }

  /// `http.requests` as `http_requests`: what Prometheus allows in a name.
  private static func name(_ label: String) -> String {
    String(
      label.map { character in
        let isAllowed = character.isASCII && (character.isLetter || character.isNumber)
        return isAllowed || "_:".contains(character) ? character : "_"
      }
    )
  }

  private static func labels(_ dimensions: [(String, String)]) -> String {
    guard !dimensions.isEmpty else { return "" }
    let pairs = dimensions.map { key, value in
      let escaped = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
        .replacing("\n", with: "\\n")
      return "\(name(key))=\"\(escaped)\""
    }
    return "{" + pairs.sorted().joined(separator: ",") + "}"
  }
}

extension PrometheusRegistry {
  /// A growing number.
  package func makeCounter(
    label: String,
    dimensions: [(String, String)]
  ) -> any CounterHandler { series(.counter, label, dimensions) }

  /// A growing number with fractions.
  package func makeFloatingPointCounter(
    label: String,
    dimensions: [(String, String)]
  ) -> any FloatingPointCounterHandler { series(.counter, label, dimensions) }

  /// A number as of now.
  package func makeMeter(
    label: String,
    dimensions: [(String, String)]
  ) -> any MeterHandler { series(.gauge, label, dimensions) }

  /// A distribution of counts, or a number as of now.
  package func makeRecorder(
    label: String,
    dimensions: [(String, String)],
    aggregate: Bool
  ) -> any RecorderHandler {
    aggregate
      ? series(.histogram, label, dimensions, buckets: Buckets.counts)
      : series(.gauge, label, dimensions)
  }

  /// A distribution of durations, in seconds.
  package func makeTimer(
    label: String,
    dimensions: [(String, String)]
  ) -> any TimerHandler { series(.histogram, label, dimensions, buckets: Buckets.seconds) }

  // Totals outlive who counted them: a series is never taken away.
  package func destroyCounter(_ handler: any CounterHandler) {}
  package func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
  package func destroyMeter(_ handler: any MeterHandler) {}
  package func destroyRecorder(_ handler: any RecorderHandler) {}
  package func destroyTimer(_ handler: any TimerHandler) {}
}
