// From a question to a prompt. The base template is the one that the published scores of IDEFICS were measured
// with; the instruct template is the turn that instruct models were trained on. Refuses data that would pose as
// special tokens.

import Idefix

/// How questions and captions become prompts.
public struct PromptTemplate: Sendable, Equatable {
  /// The two kinds of model.
  public enum Style: String, Sendable, CaseIterable {
    /// `Image:` picture `Question: … Answer:`, for base models.
    case base
    /// `User:` picture `…<end_of_utterance>\nAssistant:`, for instruct models.
    case instruct
  }

  /// The kind of model.
  public var style: Style
  /// Text before everything (base), or after each question (instruct).
  public var instruction: String

  /// The style with its usual instruction for a task.
  public init(style: Style, describes: Bool, instruction: String? = nil) {
    self.style = style
    let usual =
      switch (style, describes) {
      case (.base, false):
        "Instruction: provide an answer to the question. Use the image to answer."
      case (.base, true): ""
      case (.instruct, false): "Answer with a word or a short phrase."
      case (.instruct, true): "Describe the image in one sentence."
      }
    self.instruction = instruction ?? usual
  }

  /// Strings that end an answer: base models go on with the next example.
  public func stops(describes: Bool) -> [String] {
    switch (style, describes) {
    case (.instruct, _): []
    case (.base, false):
      ["Question", "User", "Image", "task", "What", "Who", "When", "Where", "Why", "How"]
    case (.base, true): ["Caption", "Description", "User", "Image", "task"]
    }
  }

  /// The prompt's parts for an item, with solved examples before it.
  ///
  /// - Parameters:
  ///   - item: What is asked; a whole prompt is passed on and takes no examples.
  ///   - shots: Examples; each needs an answer.
  ///   - letters: Lists the choices with letters after the question.
  /// - Returns: The parts, and whether special tokens in their text are meant as such.
  /// - Throws: If the data has special tokens in its text, or an example is a whole prompt.
  public func parts(
    for item: EvaluationItem,
    shots: [EvaluationItem] = [],
    letters: Bool = false
  ) throws(EvaluationError) -> (parts: [EvaluationItem.Part], parsesSpecial: Bool) {
    if case .prompt(let parts) = item.content { return (parts, true) }
    var builder = PartBuilder()
    switch style {
    case .base:
      if !instruction.isEmpty { builder.append("\(instruction)\n") }
      for shot in shots {
        try append(shot, letters: letters, to: &builder)
        builder.append(" \(try plain(Self.solution(of: shot, letters: letters)))\n")
      }
      try append(item, letters: letters, to: &builder)
    case .instruct:
      for shot in shots {
        try append(shot, letters: letters, to: &builder)
        let answer = try plain(Self.solution(of: shot, letters: letters))
        builder.append(" \(answer)<end_of_utterance>\n")
      }
      try append(item, letters: letters, to: &builder)
    }
    return (builder.parts, style == .instruct)
  }

  private func append(
    _ item: EvaluationItem,
    letters: Bool,
    to builder: inout PartBuilder
  ) throws(EvaluationError) {
    let images: [ImageReference]
    var question: String?
    switch item.content {
    case .prompt: throw .unsuitable(reason: "Rows with whole prompts cannot serve as examples")
    case .caption(let image): images = [image]
    case .question(let text, let references):
      images = references
      question = try plain(text)
    }
    if letters, let text = question {
      let listed = try zip("ABCDEFGHIJ", item.choices).map {
        letter,
        choice throws(EvaluationError) in
        "\n\(letter). \(try plain(choice))"
      }
      question = text + listed.joined()
    }
    switch style {
    case .base:
      if !images.isEmpty { builder.append("Image:") }
      images.forEach { builder.append($0) }
      builder.append(question.map { "Question: \($0) Answer:" } ?? "Caption:")
    case .instruct:
      builder.append("User:")
      images.forEach { builder.append($0) }
      let asked = [question, instruction].compactMap(\.self).filter { !$0.isEmpty }
      builder.append("\(asked.joined(separator: " "))<end_of_utterance>\nAssistant:")
    }
  }

  /// What an example answers: the right letter, or the most frequent of its answers (the first of several).
  static func solution(of item: EvaluationItem, letters: Bool) -> String {
    if letters, let index = item.correctChoice { return String(Array("ABCDEFGHIJ")[index]) }
    var counts: [String: Int] = [:]
    for answer in item.answers { counts[answer, default: 0] += 1 }
    let most = counts.values.max()
    return item.answers.first { counts[$0] == most } ?? ""
  }

  /// Data that holds the spelling of a special token would become one.
  private func plain(_ text: String) throws(EvaluationError) -> String {
    let special = ["<end_of_utterance>", "<fake_token_around_image>", "<image>", "<s>", "</s>"]
    guard let found = special.first(where: text.contains) else { return text }
    throw .unsuitable(reason: "The data has the special token \(found) in its text")
  }

  private struct PartBuilder {
    var parts: [EvaluationItem.Part] = []

    mutating func append(_ text: String) {
      // Adjacent texts are one text: the processor strips spaces at the ends of each.
      if case .text(let before)? = parts.last {
        parts[parts.count - 1] = .text(before + text)
      } else {
        parts.append(.text(text))
      }
    }

    mutating func append(_ image: ImageReference) { parts.append(.image(image)) }
  }
}

extension Prompt {
  /// A prompt of these parts, its images read now.
  package static func evaluation(
    _ parts: [EvaluationItem.Part],
    parsesSpecial: Bool
  ) throws(EvaluationError) -> Prompt {
    var loaded: [PromptPart] = []
    for part in parts {
      switch part {
      case .text(let text): loaded.append(.text(text))
      case .image(let reference): loaded.append(.image(try reference.load()))
      }
    }
    var prompt = Prompt.interleaved(loaded)
    prompt.parsesSpecialTokens = parsesSpecial
    prompt.insertsEndOfUtterance = false
    return prompt
  }
}
