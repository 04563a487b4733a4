// What the server counts and how it is shown to Prometheus, under the names of text-generation-inference
// where it has one and `idefix_` otherwise. Knows counts and times only: no text, no address, no key.

import Idefix
import Synchronization

/// Counters and histograms of the server.
final class Metrics: Sendable {
  private struct State {
    var started = 0
    var succeeded = 0
    var failures: [String: Int] = [:]
    var cancelled = 0
    var requestDuration = Histogram.seconds
    var validationDuration = Histogram.seconds
    var queueDuration = Histogram.seconds
    var inferenceDuration = Histogram.seconds
    var timePerToken = Histogram.seconds
    var generatedTokens = Histogram.tokens
    var inputLength = Histogram.tokens
    var maxNewTokens = Histogram.tokens
  }

  private let state = Mutex(State())

  /// A generation request was taken on.
  func requestStarted() { state.withLock { $0.started += 1 } }

  /// A request was refused or failed; `kind` is its `error_type`.
  func requestFailed(kind: String) { state.withLock { $0.failures[kind, default: 0] += 1 } }

  /// The client went away before the end.
  func requestCancelled() { state.withLock { $0.cancelled += 1 } }

  /// A request was answered.
  func requestSucceeded(_ timing: RequestTiming, maxTokens: Int?) {
    state.withLock { state in
      state.succeeded += 1
      state.requestDuration.observe(timing.total / 1000)
      state.validationDuration.observe(timing.validation / 1000)
      state.queueDuration.observe(timing.queue / 1000)
      state.inferenceDuration.observe(timing.inference / 1000)
      state.timePerToken.observe(timing.perToken / 1000)
      state.generatedTokens.observe(Double(timing.generatedTokens))
      state.inputLength.observe(Double(timing.promptTokens))
      if let maxTokens { state.maxNewTokens.observe(Double(maxTokens)) }
    }
  }

  /// The Prometheus text format.
  func render(engine: EngineMetrics) -> String {
    state.withLock { state in
      var text = Self.sample("tgi_request_count", "counter", state.started)
      text += Self.sample("tgi_request_success", "counter", state.succeeded)
      text += "# TYPE tgi_request_failure counter\n"
      for (kind, count) in state.failures.sorted(by: { $0.key < $1.key }) {
        text += "tgi_request_failure{err=\"\(kind)\"} \(count)\n"
      }
      text += Self.sample("idefix_request_cancelled", "counter", state.cancelled)
      for (name, histogram) in [
        ("tgi_request_duration", state.requestDuration),
        ("tgi_request_validation_duration", state.validationDuration),
        ("tgi_request_queue_duration", state.queueDuration),
        ("tgi_request_inference_duration", state.inferenceDuration),
        ("tgi_request_mean_time_per_token_duration", state.timePerToken),
        ("tgi_request_generated_tokens", state.generatedTokens),
        ("tgi_request_input_length", state.inputLength),
        ("tgi_request_max_new_tokens", state.maxNewTokens),
      ] {
        text += histogram.render(name: name)
      }
      return text + Self.render(engine)
    }
  }

  private static func render(_ engine: EngineMetrics) -> String {
    let counters: [(String, Int)] = [
      ("tgi_batch_inference_count", engine.steps),
      ("tgi_batch_inference_success", engine.steps),
      ("idefix_prompt_tokens", engine.promptTokens),
      ("idefix_cached_tokens", engine.cachedTokens),
      ("idefix_generated_tokens", engine.generatedTokens),
      ("idefix_images_encoded", engine.imagesEncoded),
      ("idefix_images_cached", engine.imagesCached),
      ("idefix_step_tokens", engine.stepTokens),
      ("idefix_preemptions", engine.preemptions),
      ("idefix_drafted_tokens", engine.draftedTokens),
      ("idefix_accepted_tokens", engine.acceptedTokens),
    ]
    let gauges: [(String, Int)] = [
      ("tgi_batch_current_size", engine.running),
      ("tgi_queue_size", engine.waiting),
      ("idefix_cache_pages", engine.pages),
      ("idefix_cache_pages_in_use", engine.pagesInUse),
      ("idefix_cache_pages_kept", engine.pagesCached),
    ]
    var text = counters.map { sample($0.0, "counter", $0.1) }.joined()
    text += gauges.map { sample($0.0, "gauge", $0.1) }.joined()
    // The engine counts passes and their seconds; without buckets that is a histogram of one.
    text += "# TYPE tgi_batch_inference_duration histogram\n"
    text += "tgi_batch_inference_duration_bucket{le=\"+Inf\"} \(engine.steps)\n"
    text += "tgi_batch_inference_duration_sum \(engine.stepSeconds)\n"
    text += "tgi_batch_inference_duration_count \(engine.steps)\n"
    return text
  }

  private static func sample(_ name: String, _ type: String, _ value: Int) -> String {
    "# TYPE \(name) \(type)\n\(name) \(value)\n"
  }
}
