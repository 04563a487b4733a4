// How many prompt tokens may ride along in a step without stalling the streams that wait for it. Decides from measured
// step times only; results never depend on it.
//
// What a token more costs depends on how many there are: while a pass waits for memory the first few cost nearly nothing.
// So there is no formula: the chunk grows while steps keep within the bound, and shrinks in proportion when one does not.

/// Bounds the prefill share of steps that also decode.
package struct StepPacer {
  /// A step with a chunk of a prompt may take this much longer than one without.
  package static let stretch = 0.5
  /// After so many steps with a chunk one without is measured again: a machine's speed changes.
  private static let interval = 16

  /// Milliseconds of a step that only decodes, smoothed.
  private var decodeMilliseconds: Double?
  /// Milliseconds of a step without a chunk, drafts included, smoothed.
  private var baseMilliseconds: Double?
  /// Milliseconds of one more token in a step, smoothed.
  private var tokenMilliseconds: Double?
  /// The chunk that is tried next.
  private var size = 1
  /// Steps with a chunk since the last without.
  private var chunks = 0

  /// A pacer that has measured nothing.
  package init() {}

  /// Takes note of a step of `decodes` tokens of answers, and of drafted and prompt tokens.
  package mutating func record(decodes: Int, drafts: Int, prefills: Int, milliseconds: Double) {
    guard decodes > 0 else {
      // A large prompt tells little of a few tokens more, but something.
      if prefills > 0, tokenMilliseconds == nil {
        tokenMilliseconds = milliseconds / Double(prefills)
      }
      return
    }
    guard prefills > 0 else {
      chunks = 0
      baseMilliseconds = Self.smooth(baseMilliseconds, milliseconds)
      guard drafts > 0 else {
        decodeMilliseconds = Self.smooth(decodeMilliseconds, milliseconds)
        return
      }
      guard let decodeMilliseconds else { return }
      let extra = max(milliseconds - decodeMilliseconds, 0)
      tokenMilliseconds = Self.smooth(tokenMilliseconds, extra / Double(drafts))
      return
    }
    chunks += 1
    guard let measured = baseMilliseconds else { return }
    // Without the chunk it would not have taken longer.
    let base = min(measured, milliseconds)
    baseMilliseconds = base
    let extra = milliseconds - base
    tokenMilliseconds = Self.smooth(tokenMilliseconds, extra / Double(prefills))
    let bound = Self.stretch * base
    if extra > bound {
      size = max(1, Int(Double(prefills) * bound / extra))
    } else if prefills >= size {
      size += max(1, size / 8)
    }
  }

  /// Prompt tokens for a step that carries running streams; now and then none.
  package func chunk(limit: Int) -> Int { chunks < Self.interval ? min(size, limit) : 0 }

  /// Cost of one more token relative to a step that only decodes; `nil` while it was not measured.
  package var tokenShare: Double? {
    guard let decodeMilliseconds, let tokenMilliseconds, decodeMilliseconds > 0 else { return nil }
    return tokenMilliseconds / decodeMilliseconds
  }

  private static func smooth(_ old: Double?, _ new: Double) -> Double {
    old.map { 0.8 * $0 + 0.2 * new } ?? new
  }
}
