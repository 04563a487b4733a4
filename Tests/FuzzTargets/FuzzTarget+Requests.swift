// Targets of what comes with a request: constraints, prompts, saved prefixes.

import Idefix
import Tokenizers

extension FuzzTarget {
  static func compileConstraint(_ bytes: [UInt8]) -> Bool {
    guard let kind = bytes.first else { return false }
    let text = String(decoding: bytes.dropFirst(), as: UTF8.self)
    let constraint: Constraint =
      switch kind % 3 {
      case 0: .regex(text)
      case 1: .jsonSchema(text)
      default:
        .choices(text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init))
      }
    do throws(EngineError) {
      let automaton = try constraint.automaton()
      precondition(automaton.states.count <= ByteAutomaton.maximumStates)
      return true
    } catch {
      return false
    }
  }

  private static let renderer: PromptRenderer? = {
    guard let tokenizer = try? Tokenizer(files: ["tokenizer.model": vocabulary]) else { return nil }
    return PromptRenderer(tokenizer: tokenizer)
  }()

  static func readPrompt(_ bytes: [UInt8]) -> Bool {
    guard let renderer else { preconditionFailure("the vocabulary of the fuzz targets is broken") }
    do {
      var prompt = try PromptJSON.read(bytes) { .encoded(Array($0.utf8)) }
      for parsesSpecialTokens in [false, true] {
        prompt.parsesSpecialTokens = parsesSpecialTokens
        prompt.escapesRoles = parsesSpecialTokens
        let rendered = try renderer.render(prompt)
        precondition(rendered.tokens.count == rendered.attendedImages.count)
      }
      return true
    } catch {
      precondition(error is EngineError, "an error of another room: \(error)")
      return false
    }
  }

  static func readPrefix(_ bytes: [UInt8]) -> Bool {
    let identity = PrefixPack.Identity(
      fingerprint: "f",
      numerics: 1,
      element: "f16",
      layers: 2,
      imagePages: 1,
      pageBytes: 4
    )
    do throws(EngineError) {
      let pack = try PrefixPack(json: bytes, expecting: identity)
      precondition(pack.keys(tenant: "").count == pack.pageCounts.count)
      return true
    } catch {
      return false
    }
  }
}
