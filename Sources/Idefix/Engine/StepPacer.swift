// How many prompt tokens may ride along in a step without stalling the streams that wait for it. Decides from measured
// step times only; results never depend on it.
//
// What a token more costs depends on how many there are: while a pass waits for memory the first few cost nearly nothing,
// and kernels take tokens in tiles, of which a half-filled one costs as much as a full one. So there is no formula: the
// cost of every size that was tried is kept, and the chunk walks up and down among those that stay within the bound. Each
// chunk also reads all the keys and values before it, so many small ones would cost everybody more than fewer larger ones.

/// Bounds the prefill share of steps that also decode.
package struct StepPacer {
  /// A step with a chunk of a prompt may take this much longer than one without.
  package static let stretch = 0.6
  /// After so many steps with a chunk one without is measured again: a machine's speed changes.
  private static let interval = 12

  /// Milliseconds of a step that only decodes, smoothed.
  private var decodeMilliseconds: Double?
  /// Milliseconds of a step without a chunk, drafts included, smoothed.
  private var baseMilliseconds: Double?
  /// Milliseconds of one more token in a step, smoothed.
  private var tokenMilliseconds: Double?
  /// What a chunk adds to a step, relative to one without, smoothed; by the chunk's size.
  private var costs: [Int: Double] = [:]
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
      baseMilliseconds = Self.smooth(baseMilliseconds, milliseconds)
      if chunks > 0 { forgive() }
      chunks = 0
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
    guard var base = baseMilliseconds else { return }
    if milliseconds < base {
      // Without the chunk it would not have taken longer.
      base = (base + milliseconds) / 2
      baseMilliseconds = base
    }
    let extra = max(milliseconds - base, 0)
    tokenMilliseconds = Self.smooth(tokenMilliseconds, extra / Double(prefills))
    costs[prefills] = Self.smooth(costs[prefills], extra / base)
    if prefills >= size { walk(from: prefills) }
  }

  /// Chooses the next chunk after one of `count` tokens.
  private mutating func walk(from count: Int) {
    guard isAffordable(count) else {
      size = costs.keys.filter { $0 < count && isAffordable($0) }.max() ?? 1
      return
    }
    let next = count + max(1, count / 8)
    size = isAffordable(next) ? next : count
  }

  /// Whether a chunk keeps a step within the bound, as far as is known.
  private func isAffordable(_ count: Int) -> Bool { costs[count, default: 0] <= Self.stretch }

  /// Brings sizes that were too dear back bit by bit: they may have met a bad moment, or the machine has changed.
  private mutating func forgive() {
    costs = costs.mapValues { $0 > Self.stretch ? 0.97 * $0 : $0 }
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
