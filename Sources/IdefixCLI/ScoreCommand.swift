// `idefix score`: how probable the model finds every token of a prompt.

import ArgumentParser
import Foundation
import Idefix

/// Scores every prompt token.
struct ScoreCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "score",
    abstract: "Print the log-probability of every prompt token, images included.",
    discussion: """
      The prompt is taken as it is, with no turn around it.

      Example: idefix score model.idfx --messages prompt.json --top 5 --json
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
  @OptionGroup(title: "Model") var model: ModelArguments

  @Option(help: "Most probable alternatives to report for each token.")
  var top = 0

  @Flag(help: "Print one JSON document instead of a table.")
  var json = false

  func validate() throws { _ = try ModelAndPrompt(words) }

  func execute() async throws {
    let names = try ModelAndPrompt(words)
    let path = try ModelPath.resolve(names.model)
    let prompt = try await promptArguments.read(text: names.prompt)
    let engine = try await model.loadEngine(path)
    let scored: [ScoredToken]
    do {
      scored = try await engine.score(ScoreRequest(prompt: prompt.prompt, top: top))
    } catch {
      throw prompt.naming(error)
    }
    await engine.shutDown()
    if json {
      try JSONOutput.write(ScoreReport(scored))
      return
    }
    for token in scored {
      let value = token.logprob.map { String(format: "%10.4f", $0) } ?? "         –"
      let alternatives = token.top.map {
        "\(quoted($0.text)) \(String(format: "%.3f", $0.logprob))"
      }
      Terminal.write(
        "\(value)  \(String(format: "%6d", token.id))  \(quoted(token.text))"
          + (alternatives.isEmpty ? "" : "    " + alternatives.joined(separator: "  ")) + "\n"
      )
    }
    let values = scored.compactMap(\.logprob)
    let mean = values.isEmpty ? 0 : Double(values.reduce(0, +)) / Double(values.count)
    Terminal.write(
      String(format: "%d tokens, mean %.4f, perplexity %.3f\n", values.count, mean, exp(-mean))
    )
  }

  private func quoted(_ text: String) -> String { text.debugDescription }
}

/// What `score --json` prints.
private struct ScoreReport: Encodable {
  struct Token: Encodable {
    let id: Int32
    let text: String
    let logprob: Float?
    let top: [Alternative]

    func encode(to encoder: any Encoder) throws {
      var container = encoder.container(keyedBy: CodingKeys.self)
      try container.encode(id, forKey: .id)
      try container.encode(text, forKey: .text)
      // The contract has an explicit null for the first token.
      try container.encode(logprob, forKey: .logprob)
      try container.encode(top, forKey: .top)
    }

    enum CodingKeys: String, CodingKey { case id, text, logprob, top }
  }

  struct Alternative: Encodable {
    let id: Int32
    let text: String
    let logprob: Float
  }

  let tokens: [Token]

  init(_ scored: [ScoredToken]) {
    tokens = scored.map { token in
      Token(
        id: token.id,
        text: token.text,
        logprob: token.logprob,
        top: token.top.map { Alternative(id: $0.id, text: $0.text, logprob: $0.logprob) }
      )
    }
  }
}
