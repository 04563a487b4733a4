// The metrics backend: what swift-metrics asks of it and what Prometheus reads.

import CoreMetrics
import IdefixServer
import Testing

@Suite struct PrometheusTests {
  private let registry = PrometheusRegistry()

  @Test func seriesOfOneNameAreOne() {
    for _ in 0..<3 { Counter(label: "a.b", factory: registry).increment(by: 2) }
    Counter(label: "a.b", dimensions: [("z", "1"), ("y", "2")], factory: registry).increment()
    Counter(label: "a.b", dimensions: [("y", "2"), ("z", "1")], factory: registry).increment()
    #expect(
      registry.render() == """
        # TYPE a_b counter
        a_b 6
        a_b{y="2",z="1"} 2

        """
    )
  }

  @Test func labelsAreEscaped() {
    Meter(label: "m", dimensions: [("k", "a\\b\"c\nd")], factory: registry).set(1.5)
    #expect(registry.render() == "# TYPE m gauge\nm{k=\"a\\\\b\\\"c\\nd\"} 1.5\n")
  }

  @Test func gaugesGoUpAndDown() {
    let meter = Meter(label: "m", factory: registry)
    meter.increment(by: 5)
    meter.decrement(by: 2)
    Gauge(label: "g", factory: registry).record(7)
    #expect(registry.render() == "# TYPE g gauge\ng 7\n# TYPE m gauge\nm 3\n")
  }

  @Test func histogramsAreCumulative() {
    let recorder = Recorder(label: "r", dimensions: [("k", "v")], factory: registry)
    for value in [1, 3, 4, 100_000] { recorder.record(value) }
    let lines = registry.render().split(separator: "\n")
    #expect(lines.contains(#"r_bucket{k="v",le="1.0"} 1"#))
    #expect(lines.contains(#"r_bucket{k="v",le="4.0"} 3"#))
    #expect(lines.contains(#"r_bucket{k="v",le="32768.0"} 3"#))
    #expect(lines.contains(#"r_bucket{k="v",le="+Inf"} 4"#))
    #expect(lines.contains(#"r_sum{k="v"} 100008.0"#) && lines.contains(#"r_count{k="v"} 4"#))
  }

  @Test func timersAreSeconds() {
    Timer(label: "t", factory: registry).recordMilliseconds(250)
    #expect(registry.render().contains("t_sum 0.25\n"))
    #expect(registry.render().contains("t_bucket{le=\"0.00015\"} 0\n"))
  }

  /// A client that could choose labels must not be able to fill the memory.
  @Test func theNumberOfSeriesIsBounded() {
    for index in 0..<5000 {
      Counter(label: "c", dimensions: [("k", "\(index)")], factory: registry).increment()
    }
    let lines = registry.render().split(separator: "\n").count
    #expect(lines == 2001)
    Counter(label: "c", dimensions: [("k", "0")], factory: registry).increment()
    #expect(registry.render().contains("c{k=\"0\"} 2\n"))
  }
}
