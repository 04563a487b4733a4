// What the server counts and how it is shown to Prometheus, under the names of text-generation-inference
// where it has one and `idefix_` otherwise. Knows counts and times only: no text, no address, no key.

import CoreMetrics
import Hummingbird
import Idefix

/// Counters and histograms of the server.
final class Metrics: Sendable {
  private let registry = PrometheusRegistry()
  private let started: Counter
  private let succeeded: Counter
  private let cancelled: Counter
  private let requestDuration: Timer
  private let validationDuration: Timer
  private let queueDuration: Timer
  private let inferenceDuration: Timer
  private let timePerToken: Timer
  private let generatedTokens: Recorder
  private let inputLength: Recorder
  private let maxNewTokens: Recorder
  private let skippedTokens: Recorder

  init() {
    let registry = registry
    func counter(_ name: String) -> Counter { Counter(label: name, factory: registry) }
    func timer(_ name: String) -> Timer { Timer(label: name, factory: registry) }
    func recorder(_ name: String) -> Recorder { Recorder(label: name, factory: registry) }
    started = counter("tgi_request_count")
    succeeded = counter("tgi_request_success")
    cancelled = counter("idefix_request_cancelled")
    requestDuration = timer("tgi_request_duration")
    validationDuration = timer("tgi_request_validation_duration")
    queueDuration = timer("tgi_request_queue_duration")
    inferenceDuration = timer("tgi_request_inference_duration")
    timePerToken = timer("tgi_request_mean_time_per_token_duration")
    generatedTokens = recorder("tgi_request_generated_tokens")
    inputLength = recorder("tgi_request_input_length")
    maxNewTokens = recorder("tgi_request_max_new_tokens")
    skippedTokens = recorder("tgi_request_skipped_tokens")
  }

  /// A request for an answer came in.
  func requestStarted() { started.increment() }

  /// A request for an answer was refused or failed; `kind` is its `error_type`.
  func requestFailed(kind: String) {
    Counter(label: "tgi_request_failure", dimensions: [("err", kind)], factory: registry)
      .increment()
  }

  /// The client went away before the end.
  func requestCancelled() { cancelled.increment() }

  /// A request was answered.
  func requestSucceeded(_ timing: RequestTiming, maxTokens: Int?, skipped: Int) {
    succeeded.increment()
    requestDuration.recordMilliseconds(timing.total)
    validationDuration.recordMilliseconds(timing.validation)
    queueDuration.recordMilliseconds(timing.queue)
    inferenceDuration.recordMilliseconds(timing.inference)
    timePerToken.recordMilliseconds(timing.perToken)
    generatedTokens.record(timing.generatedTokens)
    inputLength.record(timing.promptTokens)
    if let maxTokens { maxNewTokens.record(maxTokens) }
    skippedTokens.record(skipped)
  }

  /// An HTTP request was answered; `route` as it was declared.
  func answered(_ method: HTTPRequest.Method, route: String, status: Int) {
    // A client can write anything for a method: only those that have routes are names.
    let known: Set<HTTPRequest.Method> = [.get, .head, .post, .options]
    let dimensions = [
      ("method", known.contains(method) ? method.rawValue : "other"), ("route", route),
      ("status", "\(status)"),
    ]
    Counter(label: "idefix_http_requests", dimensions: dimensions, factory: registry).increment()
  }

  /// The Prometheus text format; `open` requests are in hand.
  func render(engine: EngineMetrics, open: Int) -> String {
    registry.render() + "# TYPE idefix_open_requests gauge\nidefix_open_requests \(open)\n"
      + Self.render(engine)
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
      ("tgi_batch_current_max_tokens", engine.runningTokenLimit),
      ("tgi_batch_total_tokens", engine.runningTokens),
      ("tgi_queue_size", engine.waiting),
      ("idefix_cache_pages", engine.pages),
      ("idefix_cache_pages_in_use", engine.pagesInUse),
      ("idefix_cache_pages_kept", engine.pagesCached),
    ]
    // The engine adds up what its passes cost; without buckets that is a histogram of one.
    let sums: [(String, Double)] = [
      ("tgi_batch_next_size", Double(engine.stepSequences)),
      ("tgi_batch_forward_duration", engine.stepSeconds),
      ("tgi_batch_decode_duration", engine.outputSeconds),
      ("tgi_batch_inference_duration", engine.stepSeconds + engine.outputSeconds),
    ]
    var text = counters.map { "# TYPE \($0) counter\n\($0) \($1)\n" }.joined()
    text += gauges.map { "# TYPE \($0) gauge\n\($0) \($1)\n" }.joined()
    for (name, sum) in sums {
      text += "# TYPE \(name) histogram\n\(name)_bucket{le=\"+Inf\"} \(engine.steps)\n"
      text += "\(name)_sum \(sum)\n\(name)_count \(engine.steps)\n"
    }
    return text
  }
}
