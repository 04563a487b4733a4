// Which tokens may come next under a constraint. Each state of the automaton remembers its mask, so that a token costs one
// pass over a bit set once its state was seen. A constraint that exceeds the automaton's bounds fails the request instead
// of letting anything through.

/// A constraint as requests walk it.
///
/// Belongs to the engine thread.
package final class ConstraintMatcher {
  private let table: TokenTable
  /// 64-bit words of a mask.
  private let maskWords: Int
  private var automaton: DeterministicAutomaton
  /// Masks of the states that needed one so far, one bit a token.
  private var masks: [Int32: [UInt64]] = [:]

  /// A matcher for scores of `vocabularySize` tokens.
  package init(_ automaton: ByteAutomaton, table: TokenTable, vocabularySize: Int) {
    self.automaton = DeterministicAutomaton(automaton)
    self.table = table
    maskWords = (max(vocabularySize, table.idLimit) + 63) / 64
  }

  /// Whether a bound was exceeded.
  package var hasFailed: Bool { automaton.hasFailed }

  /// The state before any text.
  package var start: Int32 { automaton.start }

  /// Bytes of memory held.
  package var bytes: Int { 8 * maskWords * masks.count + automaton.bytes }

  /// Whether the text may end in `state`.
  package func accepts(_ state: Int32) -> Bool { automaton.accepts(state) }

  /// Whether the text must end in `state`.
  package func isFinal(_ state: Int32) -> Bool { automaton.isFinal(state) }

  /// The state after a token.
  package func state(after token: Int32, from state: Int32) -> Int32 {
    var state = state
    for byte in table.bytes(of: token) where state >= 0 { state = automaton.move(state, byte) }
    return state
  }

  /// Bars every token that `state` does not allow; `ends` are allowed where the text may end.
  package func mask(_ scores: inout [Float], in state: Int32, ends: [Int32]) {
    let mask = state >= 0 && !hasFailed ? mask(of: state) : []
    // Making the mask may have been too much.
    guard !mask.isEmpty, !hasFailed else {
      for index in scores.indices { scores[index] = -.infinity }
      return
    }
    let kept = accepts(state) ? ends.map { ($0, scores[Int($0)]) } : []
    for (word, allowed) in mask.enumerated() where allowed != .max {
      let first = word * 64
      for token in first..<max(first, min(first + 64, scores.count))
      where allowed >> UInt64(token - first) & 1 == 0 {
        scores[token] = -.infinity
      }
    }
    for (token, score) in kept { scores[Int(token)] = score }
  }

  private func mask(of state: Int32) -> [UInt64] {
    if let mask = masks[state] { return mask }
    let mask = automaton.mask(of: table, from: state, words: maskWords)
    masks[state] = mask
    return mask
  }
}
