// How many prompt tokens may ride along in a step without stalling the streams that wait for it. Decides from measured
// step times only; results never depend on it.

/// Bounds the prefill share of steps that also decode.
package struct StepPacer {
  /// A step with a prefill chunk may take this much longer than one without.
  package static let stretch = 0.5
  /// Chunk while nothing was measured.
  package static let firstChunk = 16

  /// Milliseconds of a step that only decodes, smoothed.
  private var decodeMilliseconds: Double?
  /// Milliseconds of one more token in a step, smoothed.
  private var tokenMilliseconds: Double?

  /// A pacer that has measured nothing.
  package init() {}

  /// Takes note of a step.
  package mutating func record(decodes: Int, prefills: Int, milliseconds: Double) {
    if prefills == 0 {
      decodeMilliseconds = Self.smooth(decodeMilliseconds, milliseconds)
    } else {
      let base = decodes > 0 ? decodeMilliseconds ?? 0 : 0
      let each = max(milliseconds - base, 0) / Double(prefills)
      tokenMilliseconds = Self.smooth(tokenMilliseconds, each)
    }
  }

  /// Prompt tokens for a step that carries running streams; at least one, so that prompts get on.
  package func chunk(limit: Int) -> Int {
    guard limit > 0 else { return 0 }
    guard let decodeMilliseconds, let tokenMilliseconds, tokenMilliseconds > 0 else {
      return min(limit, Self.firstChunk)
    }
    let tokens = Self.stretch * decodeMilliseconds / tokenMilliseconds
    return max(1, Int(min(tokens, Double(limit))))
  }

  /// Cost of one more token relative to a step that only decodes; `nil` while it was not measured.
  package var tokenShare: Double? {
    guard let decodeMilliseconds, let tokenMilliseconds, decodeMilliseconds > 0 else { return nil }
    return tokenMilliseconds / decodeMilliseconds
  }

  private static func smooth(_ old: Double?, _ new: Double) -> Double {
    old.map { 0.8 * $0 + 0.2 * new } ?? new
  }
}
