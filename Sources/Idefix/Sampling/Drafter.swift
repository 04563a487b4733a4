// Drafts the next tokens from the text itself: what followed the last time the same few tokens stood here. Drafts are
// verified in one step and dropped where they differ from what the sampler draws, so they never change an answer.
// Costs are bounded: a draft is made when it is expected to pay, or from a small allowance to find out.
// Source: prompt lookup decoding (Saxena, 2023).

/// Proposes tokens for one sequence.
package struct Drafter: Sendable {
  /// Tokens that have to match.
  private static let context = 3
  /// Longest draft.
  package static let longest = 8
  /// Share of decode time that drafts may waste.
  package static let allowance = 0.02

  private var tokens: [Int32] = []
  /// Where the tokens after a context start, for its latest two occurrences.
  private var places: [SIMD4<Int32>: (latest: Int, before: Int)] = [:]
  /// Estimated share of drafted tokens that hold.
  private var acceptance = 0.5
  /// What was wasted and what was spent, in steps that only decode.
  private var wasted = 0.0
  private var spent = 0.0

  /// A drafter that knows the prompt.
  package init(prompt: [Int32]) {
    for token in prompt { append(token) }
  }

  /// Takes note of a token.
  package mutating func append(_ token: Int32) {
    tokens.append(token)
    guard let key = contextKey else { return }
    places[key] = (latest: tokens.count, before: places[key]?.latest ?? -1)
  }

  /// Tokens that may follow.
  ///
  /// - Parameters:
  ///   - limit: Most tokens to propose.
  ///   - tokenShare: Cost of one more token relative to a step; `nil`: unknown.
  /// - Returns: None if nothing is known or it would not pay.
  package func draft(limit: Int, tokenShare: Double?) -> [Int32] {
    guard limit > 0, let key = contextKey, let place = places[key]?.before, place >= 0 else {
      return []
    }
    let share = tokenShare ?? 0.1
    var best = 0
    var bestRate = 1.0
    var expected = 1.0
    var power = 1.0
    for count in 1...min(limit, Self.longest) {
      power *= acceptance
      expected += power
      let rate = expected / (1 + Double(count) * share)
      if rate > bestRate { (best, bestRate) = (count, rate) }
    }
    if best == 0, wasted + share <= Self.allowance * spent { best = 1 }
    // Where the text has come round to here, it is taken to go round again.
    let period = tokens.count - place
    return (0..<best).map { tokens[place + $0 % period] }
  }

  /// Takes note of a step that verified `drafted` tokens, of which the first `accepted` held.
  package mutating func record(drafted: Int, accepted: Int, tokenShare: Double?) {
    spent += 1
    guard drafted > 0 else { return }
    let share = tokenShare ?? 0.1
    wasted += Double(drafted - accepted) * share
    let tried = min(accepted + 1, drafted)
    let weight = min(0.15 * Double(tried), 0.6)
    acceptance += weight * (Double(accepted) / Double(tried) - acceptance)
    acceptance = min(max(acceptance, 0), 0.98)
  }

  private var contextKey: SIMD4<Int32>? {
    guard tokens.count >= Self.context else { return nil }
    let last = tokens.suffix(Self.context)
    return SIMD4(last[last.startIndex], last[last.startIndex + 1], last[last.startIndex + 2], 0)
  }
}
