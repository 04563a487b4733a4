// `idefix eval perplexity`: how well a model predicts text.

import ArgumentParser
import Evaluation

/// Perplexity of documents.
struct EvalPerplexityCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "perplexity",
    abstract: "Perplexity of text.",
    discussion: """
      fixed: all documents' tokens joined, cut into windows of --window tokens that do not overlap, \
      each with <s> in front; every token but <s> is predicted from those before it in its window. \
      perplexity = exp(-mean log-probability). rolling: each document by itself, every token predicted \
      once; the first window predicts its tokens after <s>, later ones continue without overlap, and \
      the last is moved back to be as long as the others (as lm-evaluation-harness does). \
      word_perplexity and byte_perplexity divide by stretches of white space plus one, and by UTF-8 \
      bytes, so that models with different vocabularies compare.

      Documents: a text file is one; a .jsonl file has one {"text": …} a line.

      Example: idefix eval perplexity model.idfx wiki.test.txt --cut rolling --output ppl.json
      """
  )

  @Argument(
    help: ArgumentHelp(
      "A model file (.idfx; default: $IDEFIX_MODEL or the demo model), then text files.",
      valueName: "[MODEL] FILE..."
    )
  )
  var words: [String]

  @Option(help: "How documents are cut: fixed or rolling.")
  var cut: ScoringTask.Cut = .fixed

  @Option(
    help: "Tokens that the model sees at once (default: 512, or its context if that is less)."
  )
  var window: Int?

  @OptionGroup(title: "Evaluation") var arguments: EvalArguments
  @OptionGroup(title: "Model") var modelArguments: ModelArguments

  func execute() async throws {
    let (model, files) = try EvalText.split(words)
    let documents = try EvalText.read(files)
    let engine = try await arguments.loadEngine(model, modelArguments)
    let window = window ?? min(512, engine.info.contextTokens)
    let header = RunHeader(
      evaluation: "perplexity",
      model: engine.info.fingerprint,
      settings: EvalText.settings(files, documents, cut: cut, window: window)
    )
    let log: ResultsLog<LikelihoodSum> = try arguments.log(header)
    let (runner, bar) = arguments.runner("windows", modelArguments)
    var report = EvaluationReport(
      header: header,
      model: .init(engine.info),
      files: files,
      items: 0
    )
    let evaluation = PerplexityEvaluation(documents: documents, cut: cut, window: window)
    try await evaluation.run(
      on: engine,
      runner: runner,
      log: log,
      bootstrap: arguments.bootstrap,
      into: &report
    )
    bar.clear()
    await engine.shutDown()
    try arguments.publish(report)
  }
}

extension ScoringTask.Cut: ExpressibleByArgument {}

/// Text files on the command line.
enum EvalText {
  /// The model, if the first word is one, and the files.
  static func split(_ words: [String]) throws -> (model: String?, files: [String]) {
    let isModel = words.first?.hasSuffix(".idfx") ?? false
    let files = Array(words.dropFirst(isModel ? 1 : 0))
    return (isModel ? words[0] : nil, files)
  }

  /// The documents of all files.
  static func read(_ files: [String]) throws -> [TextDocument] {
    guard !files.isEmpty else { throw CommandFailure(.usage, "Name a text file.") }
    var documents: [TextDocument] = []
    for (index, file) in files.enumerated() {
      for var document in try TextDocument.read(file) {
        if files.count > 1 { document.id = "\(index)/\(document.id)" }
        documents.append(document)
      }
    }
    guard Set(documents.map(\.id)).count == documents.count else {
      throw CommandFailure(.data, "Two documents have the same id.")
    }
    return documents
  }

  /// What decides the results.
  static func settings(
    _ files: [String],
    _ documents: [TextDocument],
    cut: ScoringTask.Cut,
    window: Int
  ) -> [String: String] {
    [
      "files": files.joined(separator: " "),
      "bytes": String(documents.reduce(0) { $0 + $1.text.utf8.count }),
      "cut": cut.rawValue,
      "window": String(window),
    ]
  }
}
