// `idefix run`: one prompt, one answer, streamed as it is made.

import ArgumentParser
import Evaluation
import Foundation
import Idefix

/// Answers one prompt.
struct RunCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Answer one prompt with images.",
    discussion: """
      Examples that many prompts share are computed once: --save-prefix keeps a prompt's state, and \
      --prefix-pack starts from it.

      Example: idefix run idefics-9b-instruct.idfx --image dog.jpg "What is in this image?"
      """
  )

  @Argument(
    help: ArgumentHelp(
      "A model file (.idfx; default: $IDEFIX_MODEL or the demo model), then the prompt.",
      valueName: "[MODEL] [PROMPT]"
    ),
    completion: .file(extensions: ["idfx"])
  )
  var words: [String] = []

  @OptionGroup(title: "Prompt") var promptArguments: PromptArguments
  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Answer") var answerArguments: AnswerArguments
  @OptionGroup(title: "Shared prefix") var prefixArguments: PrefixArguments
  @OptionGroup(title: "Model") var model: ModelArguments

  @Flag(help: "Print one JSON document instead of text.")
  var json = false

  @Flag(help: "Print timings and memory to stderr afterwards.")
  var stats = false

  func validate() throws { _ = try ModelAndPrompt(words) }

  func execute() async throws {
    let names = try ModelAndPrompt(words)
    // What is cheap to find wrong is found before a large model is loaded.
    let path = try ModelPath.resolve(names.model)
    let prompt = try await promptArguments.read(text: names.prompt)
    var request = GenerationRequest(prompt: prompt.prompt, sampling: sampling.options)
    try answerArguments.apply(to: &request)
    let start = ContinuousClock.now
    let engine = try await model.loadEngine(path)
    let loadTime = ContinuousClock.now - start
    if engine.info.isInstruct { request.prompt = prompt.asTurn }
    let result: GenerationResult
    do {
      try await prefixArguments.load(into: engine)
      try await prefixArguments.save(request.prompt, of: engine, quiet: model.quiet)
      result = try await stream(request, from: engine)
    } catch {
      throw prompt.naming(error)
    }
    await engine.shutDown()
    guard let answer = result.sequences.first else {
      throw CommandFailure(.software, "The engine ended without an answer.")
    }
    let report = RunReport(
      result,
      answer: answer,
      loadTime: loadTime,
      reportsLogprobs: request.sampling.logprobs != nil
    )
    if json {
      try JSONOutput.write(report)
    } else if !answer.text.hasSuffix("\n") {
      Terminal.write("\n")
    }
    if stats {
      Terminal.writeError(report.summary)
      if let line = engine.residency.loadSummary { Terminal.writeError(line + "\n") }
    }
  }

  /// Prints the answer as it is made, and returns the whole of it.
  private func stream(
    _ request: GenerationRequest,
    from engine: Engine
  ) async throws -> GenerationResult {
    let bar = ProgressBar("Reading", unit: .items("images"), isQuiet: model.quiet || json)
    for try await event in engine.generate(request) {
      switch event {
      case .started, .promptScored, .progress(.prefill): break
      case .progress(.images(let done, let total)): bar.update(done: done, total: total)
      case .token(let token):
        bar.clear()
        guard !json else { break }
        // The answer's leading space belongs to the prompt's side of the border.
        Terminal.write(token.index == 0 ? String(token.text.drop { $0 == " " }) : token.text)
      case .finished(let result):
        bar.clear()
        return result
      }
    }
    throw CommandFailure(.software, "The engine ended without a result.")
  }
}

/// What `run --json` prints.
struct RunReport: Encodable {
  struct Timings: Encodable {
    let loadMs: Double
    let decodeImageMs: Double
    let queueMs: Double
    let visionMs: Double
    let resamplerMs: Double
    let crossKvMs: Double
    let prefillMs: Double
    let decodeMs: Double
    /// From submission to the last token: the sum of the phases but for loading.
    let totalMs: Double
    let prefillTokensPerS: Double
    let decodeTokensPerS: Double
  }

  /// Bytes that the phases made: pixels, image states, pages of cache.
  struct Bytes: Encodable {
    let decodeImage: Int
    let vision: Int
    let resampler: Int
    let crossKv: Int
    let prefill: Int
    let decode: Int
  }

  struct Memory: Encodable {
    let peakRssBytes: Int
  }

  let text: String
  let tokens: [Int32]
  let finishReason: String
  let promptTokens: Int
  let images: Int
  let seed: UInt64?
  let timings: Timings
  let bytes: Bytes
  let cachedTokens: Int
  let cachedImages: Int
  let memory: Memory
  let logprobs: [TokenReport]?
  let draftedTokens: Int
  let acceptedTokens: Int

  init(
    _ result: GenerationResult,
    answer: GeneratedSequence,
    loadTime: Duration,
    reportsLogprobs: Bool
  ) {
    text = answer.text
    tokens = answer.tokens.map(\.id)
    finishReason = answer.finishReason.rawValue
    promptTokens = result.prompt.tokens.count
    images = result.prompt.images
    seed = result.prompt.seed
    let receipt = result.receipt
    timings = Timings(
      loadMs: loadTime / .milliseconds(1),
      decodeImageMs: receipt.decodeImages.milliseconds,
      queueMs: receipt.queue.milliseconds,
      visionMs: receipt.vision.milliseconds,
      resamplerMs: receipt.resampler.milliseconds,
      crossKvMs: receipt.crossKeysValues.milliseconds,
      prefillMs: receipt.prefill.milliseconds,
      decodeMs: receipt.decode.milliseconds,
      totalMs: receipt.totalMilliseconds,
      prefillTokensPerS: receipt.prefillTokensPerSecond,
      decodeTokensPerS: receipt.decodeTokensPerSecond
    )
    bytes = Bytes(
      decodeImage: receipt.decodeImages.bytes,
      vision: receipt.vision.bytes,
      resampler: receipt.resampler.bytes,
      crossKv: receipt.crossKeysValues.bytes,
      prefill: receipt.prefill.bytes,
      decode: receipt.decode.bytes
    )
    cachedTokens = receipt.cachedTokens
    cachedImages = receipt.cachedImages
    draftedTokens = receipt.draftedTokens
    acceptedTokens = receipt.acceptedTokens
    memory = Memory(peakRssBytes: ProcessMemory.peakResidentBytes)
    logprobs = reportsLogprobs ? answer.tokens.map { TokenReport($0) } : nil
  }

  /// The same for a person.
  var summary: String {
    func milliseconds(_ value: Double) -> String { String(format: "%.0f ms", value) }
    var lines = ["load \(milliseconds(timings.loadMs))"]
    if images > 0 {
      lines.append(
        "\(images) image\(images == 1 ? "" : "s"): decode \(milliseconds(timings.decodeImageMs)), "
          + "vision \(milliseconds(timings.visionMs)), "
          + "resampler \(milliseconds(timings.resamplerMs)), "
          + "keys and values \(milliseconds(timings.crossKvMs))"
      )
    }
    lines.append(
      String(
        format: "prompt %d tokens: %.0f ms, %.1f tok/s",
        promptTokens,
        timings.prefillMs,
        timings.prefillTokensPerS
      )
    )
    lines.append(
      String(
        format: "answer %d tokens: %.0f ms, %.1f tok/s",
        tokens.count,
        timings.decodeMs,
        timings.decodeTokensPerS
      )
    )
    if draftedTokens > 0 {
      lines.append("drafted \(draftedTokens) tokens, \(acceptedTokens) of them right")
    }
    lines.append("peak memory \(ByteCount(memory.peakRssBytes))")
    return lines.joined(separator: "; ") + "\n"
  }
}
