// A stretch of text to score and which of its tokens count: windows of documents, or the answers of a data set.

import Idefix

/// One stretch of text to score.
public struct ScoringTask: Sendable {
  private enum Content: Sendable {
    case window(ScoringWindow)
    case item(EvaluationItem, PromptTemplate)
  }

  /// Identifier, unique in the run.
  public let id: String
  private let content: Content

  /// How documents are cut.
  public enum Cut: String, Sendable, CaseIterable {
    /// ``ScoringWindow/fixed(_:prefix:size:)`` over the joined documents.
    case fixed
    /// ``ScoringWindow/rolling(_:prefix:length:)`` over each document.
    case rolling
  }

  /// The windows of documents, each with the index of its document.
  ///
  /// `window` is how many tokens the model sees at once.
  public static func windows(
    of documents: [TextDocument],
    cut: Cut,
    window: Int,
    engine: Engine
  ) throws -> [(task: ScoringTask, document: Int)] {
    let prefix = engine.info.bosToken
    var tasks: [(task: ScoringTask, document: Int)] = []
    var joined: [Int32] = []
    for (index, document) in documents.enumerated() {
      var tokens = try engine.tokenize(.interleaved([.text(document.text)])).map(\.id)
      if tokens.first == prefix { tokens.removeFirst() }
      switch cut {
      case .fixed: joined += tokens
      case .rolling:
        let windows = ScoringWindow.rolling(tokens, prefix: prefix, length: window - 1)
        for (place, part) in windows.enumerated() {
          let id = "\(document.id)#\(place)"
          tasks.append((ScoringTask(id: id, content: .window(part)), index))
        }
      }
    }
    for (place, part) in ScoringWindow.fixed(joined, prefix: prefix, size: window).enumerated() {
      tasks.append((ScoringTask(id: "#\(place)", content: .window(part)), 0))
    }
    return tasks
  }

  /// The answers of a data set: the first of each, after its prompt; whole prompts where there is none.
  public static func answers(
    of dataset: EvaluationDataset,
    template: PromptTemplate
  ) -> [ScoringTask] {
    dataset.items.map { ScoringTask(id: $0.id, content: .item($0, template)) }
  }

  /// The prompt, and the places of the tokens that count.
  func request(for engine: Engine) throws -> (prompt: Prompt, places: [Int]) {
    switch content {
    case .window(let window):
      let count = window.tokens.count
      return (Prompt(.tokens(window.tokens)), Array((count - window.predicted)..<count))
    case .item(let item, let template):
      let (parts, parsesSpecial) = try template.parts(for: item)
      let prompt = try Prompt.evaluation(parts, parsesSpecial: parsesSpecial)
      if let answer = item.answers.first {
        let continuation = try Continuation(answer, after: prompt, engine: engine)
        return (continuation.prompt, Array(continuation.range))
      }
      let tokens = try engine.tokenize(prompt)
      return (prompt, tokens.indices.dropFirst().filter { !tokens[$0].isSpecial })
    }
  }
}
