// The sampling options of the command line, under the library's names.

import ArgumentParser
import Idefix

/// How the next token is chosen and when to stop.
struct SamplingArguments: ParsableArguments {
  @Option(help: "Most tokens to generate.")
  var maxTokens = 256

  // Negative values are taken as values, not as options, so that what is wrong with them can be said.
  @Option(parsing: .unconditional, help: "Divides the scores; 0 is greedy.")
  var temperature = 0.0

  @Option(help: "Keep the k best tokens.")
  var topK: Int?

  @Option(help: "Keep the most probable tokens up to this probability.")
  var topP: Double?

  @Option(help: "Keep tokens of at least this share of the largest probability.")
  var minP: Double?

  @Option(help: "Locally typical sampling: probability to keep.")
  var typicalP: Double?

  @Option(help: "Divides the score of every token seen before.")
  var repetitionPenalty = 1.0

  @Option(parsing: .unconditional, help: "Subtracted for each time the answer has the token.")
  var frequencyPenalty = 0.0

  @Option(parsing: .unconditional, help: "Subtracted if the answer has the token.")
  var presencePenalty = 0.0

  @Option(help: "ID=VALUE, added to the score of a token; may be repeated.")
  var logitBias: [LogitBias] = []

  @Option(help: "A string that must not be generated; may be repeated.")
  var badWords: [String] = []

  @Option(help: "A string that ends the answer; may be repeated.")
  var stop: [String] = []

  @Option(help: "Makes sampling repeatable.")
  var seed: UInt64?

  @Flag(name: .customLong("ignore-eos"), help: "Go on after the end-of-sequence token.")
  var ignoresEOS = false

  @Option(help: "Report each token's log-probability with this many alternatives.")
  var logprobs: Int?

  /// The options as the library takes them.
  var options: SamplingOptions {
    var options = SamplingOptions()
    options.maxTokens = maxTokens
    options.temperature = temperature
    options.topK = topK
    options.topP = topP
    options.minP = minP
    options.typicalP = typicalP
    options.repetitionPenalty = repetitionPenalty
    options.frequencyPenalty = frequencyPenalty
    options.presencePenalty = presencePenalty
    options.logitBias = Dictionary(
      logitBias.map { ($0.token, $0.value) },
      uniquingKeysWith: { _, last in last }
    )
    options.badWords = badWords
    options.stop = stop
    options.seed = seed
    options.ignoresEOS = ignoresEOS
    options.logprobs = logprobs
    return options
  }
}

/// One `ID=VALUE` of `--logit-bias`.
struct LogitBias: ExpressibleByArgument {
  let token: Int32
  let value: Double

  init?(argument: String) {
    let parts = argument.split(separator: "=", maxSplits: 1)
    guard parts.count == 2, let token = Int32(parts[0]), let value = Double(parts[1]) else {
      return nil
    }
    self.token = token
    self.value = value
  }
}
