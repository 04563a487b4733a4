// Which tokens may come next under a constraint. Each state of the automaton remembers its mask, so that a token costs one
// pass over a bit set once its state was seen; states that no token can tell apart share theirs. A constraint that exceeds
// the automaton's bounds fails the request instead of letting anything through.

/// A constraint as requests walk it.
///
/// Belongs to the engine thread.
package final class ConstraintMatcher {
  private let table: TokenTable
  /// 64-bit words of a mask.
  private let maskWords: Int
  private var automaton: DeterministicAutomaton
  /// Masks made so far, one bit a token.
  private var masks: [[UInt64]] = []
  /// The masks of the states that needed one so far.
  private var maskOfState: [Int32: Int] = [:]
  /// The masks by what their states can take.
  private var maskOfKey: [[Int32]: Int] = [:]
  /// Members of all keys together.
  private var keyMembers = 0
  /// Whether no token is longer than the automaton's horizon.
  private let hasShortTokens: Bool

  /// A matcher for scores of `vocabularySize` tokens.
  package init(_ automaton: ByteAutomaton, table: TokenTable, vocabularySize: Int) {
    self.automaton = DeterministicAutomaton(automaton)
    self.table = table
    hasShortTokens = table.depth <= automaton.horizon
    maskWords = (max(vocabularySize, table.idLimit) + 63) / 64
  }

  /// Whether a bound was exceeded.
  package var hasFailed: Bool { automaton.hasFailed }

  /// The state before any text.
  package var start: Int32 { automaton.start }

  /// Bytes of memory held.
  package var bytes: Int { 8 * maskWords * masks.count + 4 * keyMembers + automaton.bytes }

  /// Masks made so far.
  package var maskCount: Int { masks.count }

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
      guard word * 64 < scores.count else { break }
      let range = word * 64..<min(word * 64 + 64, scores.count)
      if allowed == 0 {
        for token in range { scores[token] = -.infinity }
      } else {
        var barred = ~allowed
        while barred != 0 {
          let token = range.lowerBound + barred.trailingZeroBitCount
          guard token < range.upperBound else { break }
          scores[token] = -.infinity
          barred &= barred - 1
        }
      }
    }
    for (token, score) in kept { scores[Int(token)] = score }
  }

  private func mask(of state: Int32) -> [UInt64] {
    if let known = maskOfState[state] { return masks[known] }
    let key = hasShortTokens ? automaton.key(of: state) : [state]
    let index = maskOfKey[key] ?? masks.count
    if index == masks.count {
      masks.append(automaton.mask(of: table, from: state, words: maskWords))
      maskOfKey[key] = index
      keyMembers += key.count
    }
    maskOfState[state] = index
    return masks[index]
  }
}
