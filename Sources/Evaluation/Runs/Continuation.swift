// The log-probability of a text as the continuation of a prompt: the tokens that the longer prompt has beyond what it
// shares with the shorter one.

import Idefix

/// A prompt with a text after it.
struct Continuation {
  /// Prompt and text.
  let prompt: Prompt
  /// Tokens of the whole that belong to the text.
  let range: Range<Int>

  /// Puts `text` after an interleaved prompt, with a space between if there is none.
  init(_ text: String, after before: Prompt, engine: Engine) throws {
    prompt = try before.continued(by: text)
    let short = try engine.tokenize(before)
    let long = try engine.tokenize(prompt)
    let shared = zip(short, long).prefix { $0.id == $1.id }.count
    guard shared > 0, shared < long.count else {
      throw EvaluationError.unsuitable(reason: "There is nothing to score in the text \(text)")
    }
    range = shared..<long.count
  }
}

extension Prompt {
  /// The interleaved prompt with `text` after it, with a space between if there is none.
  package func continued(by text: String) throws(EvaluationError) -> Prompt {
    guard case .interleaved(let parts) = content else {
      throw EvaluationError.unsuitable(reason: "Only interleaved prompts can be continued")
    }
    var whole = parts
    if case .text(let before)? = parts.last {
      let joint = before.last?.isWhitespace ?? true ? "" : " "
      whole[whole.count - 1] = .text(before + joint + text)
    } else {
      whole.append(.text(text))
    }
    var longer = self
    longer.content = .interleaved(whole)
    return longer
  }
}
