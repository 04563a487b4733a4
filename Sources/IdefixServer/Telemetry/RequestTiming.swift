// Where a request's time went as clients are told: the `x-…` headers of text-generation-inference.

import HTTPTypes
import Hummingbird
import Idefix

/// Times of one finished request in milliseconds, and its token counts.
struct RequestTiming: Sendable {
  /// From the request's head to the end of generation.
  var total: Double
  /// Reading, checking and decoding.
  var validation: Double
  /// Waiting for a place in the batch.
  var queue: Double
  /// Vision, prefill and decoding.
  var inference: Double
  /// Inference time a token.
  var perToken: Double
  var promptTokens: Int
  var generatedTokens: Int

  /// Times of a request that arrived at `start` and has just ended with `result`.
  init(start: ContinuousClock.Instant, result: GenerationResult) {
    let receipt = result.receipt
    total = (ContinuousClock.now - start).milliseconds
    queue = receipt.queue.milliseconds
    inference =
      receipt.encodeImagesMilliseconds + receipt.prefill.milliseconds + receipt.decode.milliseconds
    validation = max(0, total - queue - inference)
    generatedTokens = result.sequences.reduce(0) { $0 + $1.tokens.count }
    perToken = inference / Double(max(generatedTokens, 1))
    promptTokens = result.prompt.tokens.count
  }

  /// The headers of an answer to a prompt of `characters` characters.
  func headers(characters: Int) -> HTTPFields {
    var fields = Self.streamHeaders(characters: characters)
    for (name, value) in [
      ("x-compute-time", "\(total / 1000)"),
      ("x-total-time", Self.whole(total)),
      ("x-validation-time", Self.whole(validation)),
      ("x-queue-time", Self.whole(queue)),
      ("x-inference-time", Self.whole(inference)),
      ("x-time-per-token", Self.whole(perToken)),
      ("x-prompt-tokens", "\(promptTokens)"),
      ("x-generated-tokens", "\(generatedTokens)"),
    ] {
      fields.set(name, value)
    }
    return fields
  }

  /// The headers known before anything is generated.
  static func streamHeaders(characters: Int) -> HTTPFields {
    var fields: HTTPFields = [:]
    fields.set("x-compute-type", "cpu")
    fields.set("x-compute-characters", "\(characters)")
    return fields
  }

  private static func whole(_ milliseconds: Double) -> String { "\(Int(milliseconds.rounded()))" }
}

extension HTTPFields {
  /// Sets a field whose name is a literal of this program.
  mutating func set(_ name: String, _ value: String) {
    if let name = HTTPField.Name(name) { self[name] = value }
  }
}

extension Duration {
  /// The duration in milliseconds.
  var milliseconds: Double {
    Double(components.seconds) * 1000 + Double(components.attoseconds) / 1e15
  }
}
