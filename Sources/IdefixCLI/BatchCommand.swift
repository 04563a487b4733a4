// `idefix batch`: a file of requests, answered many at a time.

import ArgumentParser
import Evaluation
import Foundation
import Idefix

/// Answers the rows of a file.
struct BatchCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "batch",
    abstract: "Answer a file of requests, many at a time.",
    discussion: """
      Each row of the input is {"id"?, "prompt": [{"text": …} | {"image": path}]} or {"id"?, "messages": \
      [OpenAI chat messages]}, with sampling options of its own if it wants ("max_tokens", \
      "temperature", "stop", "seed" and so on). Image paths are relative to the input. Each line of the \
      output is {"id", "text", "finish_reason", "prompt_tokens", "cached_tokens", \
      "completion_tokens", "images", "logprobs"?} or {"id", "error"}, in the order of completion.

      Answers stand in OUTPUT.partial until all are there; an interrupted batch goes on with --resume. \
      Ends with 65 if a row failed.

      Example: idefix batch model.idfx --input rows.jsonl --output out.jsonl --max-tokens 30
      """
  )

  @Argument(
    help: "A model file (.idfx; default: $IDEFIX_MODEL or the demo model).",
    completion: .file(extensions: ["idfx"])
  )
  var model: String?

  @Option(help: ArgumentHelp("The requests, JSON lines.", valueName: "file"))
  var input: String

  @Option(help: ArgumentHelp("The answers, JSON lines.", valueName: "file"))
  var output: String

  @Flag(help: "Go on with an interrupted batch.")
  var resume = false

  @Flag(help: "Replace the output, and drop what an interrupted batch left.")
  var force = false

  @Option(
    help: ArgumentHelp(
      "A prompt or messages put before every row, computed once: examples, instructions.",
      valueName: "file"
    )
  )
  var prefix: String?

  @OptionGroup(title: "Shared prefix") var prefixArguments: PrefixArguments

  @Flag(help: "Take special tokens such as <end_of_utterance> in raw prompts as tokens.")
  var parseSpecial = false

  @Option(help: "Requests in flight.")
  var inFlight = 32

  @OptionGroup(title: "Sampling") var sampling: SamplingArguments
  @OptionGroup(title: "Model") var modelArguments: ModelArguments

  func validate() throws {
    guard (1...256).contains(inFlight) else {
      throw ValidationError("--in-flight must be between 1 and 256.")
    }
    guard !resume || !force else {
      throw ValidationError("--resume and --force exclude each other.")
    }
    guard prefix != nil || prefixArguments.savePrefix == nil else {
      throw ValidationError("--save-prefix keeps the state of --prefix, which is missing.")
    }
  }

  func execute() async throws {
    guard FileManager.default.fileExists(atPath: input) else {
      throw CommandFailure(.noInput, "There is no file \(input).")
    }
    let isComplete =
      FileManager.default.fileExists(atPath: output)
      && !FileManager.default.fileExists(atPath: BatchOutput.partial(output))
    if resume, isComplete {
      if !modelArguments.quiet { Terminal.writeError("\(output) is complete.\n") }
      return
    }
    let loader = ImageLoader(folder: URL(filePath: input).deletingLastPathComponent())
    let bar = ProgressBar("Answering", unit: .items("rows"), isQuiet: modelArguments.quiet)
    var batch = BatchRun(
      input: input,
      sampling: sampling.options,
      inFlight: inFlight,
      image: { try await loader.image($0) },
      progress: { bar.update(done: $0, total: $1) }
    )
    batch.parsesSpecialTokens = parseSpecial
    var shared: NamedPrompt?
    if let prefix {
      shared = try await PromptArguments.read(messages: prefix, parseSpecial: parseSpecial)
      batch.prefix = shared?.prompt
    }
    let answers = try BatchOutput(path: output, resumes: resume, replaces: force)
    var options = modelArguments.engineOptions
    options.maxWaiting = max(inFlight, options.maxWaiting)
    let engine = try await modelArguments.loadEngine(model, options: options)
    try await prefixArguments.load(into: engine)
    if let shared {
      try await prefixArguments.save(shared, of: engine, quiet: modelArguments.quiet)
    }
    try await batch.run(on: engine, output: answers)
    bar.clear()
    await engine.shutDown()
    if answers.failures > 0 {
      throw CommandFailure(
        .data,
        "\(answers.failures) of \(answers.done.count) rows failed; their lines in \(output) say why."
      )
    }
  }
}
