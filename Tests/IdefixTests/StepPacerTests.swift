import Idefix
import Testing

/// Prompts are admitted without stalling running streams, on machines whose steps cost different things.
@Suite struct StepPacerTests {
  /// What a step of some tokens costs.
  enum Machine: CaseIterable {
    /// Waits for memory: the arithmetic of a few tokens is hidden (a large model on few cores).
    case reading
    /// Computes: every token costs the same, beside a little for the step.
    case computing
    /// Steps cost the same whatever they hold, up to a point.
    case waiting
    /// Takes tokens in tiles: two cost as much as eight.
    case tiling

    func milliseconds(_ tokens: Int) -> Double {
      switch self {
      case .reading: max(121, 28 * Double(tokens)) + 4 * Double(tokens)
      case .computing: 0.2 + 0.05 * Double(tokens)
      case .waiting: tokens <= 40 ? 10 : 10 + Double(tokens - 40)
      case .tiling: tokens == 1 ? 145 : 185 + 27 * Double((tokens + 7) / 8)
      }
    }
  }

  /// Admits a prompt of 1,500 tokens to one running stream; the milliseconds of its steps, relative to a step without,
  /// and what they would be with the largest chunk that keeps within the bound.
  private func admit(
    _ machine: Machine,
    slowness: (_ step: Int) -> Double
  ) -> (gaps: [Double], ideal: Double) {
    var pacer = StepPacer()
    pacer.record(decodes: 0, drafts: 0, prefills: 12, milliseconds: machine.milliseconds(12))
    for _ in 0..<20 {
      pacer.record(decodes: 1, drafts: 0, prefills: 0, milliseconds: machine.milliseconds(1))
    }
    var gaps: [Double] = []
    var left = 1500
    while left > 0 {
      let chunk = pacer.chunk(limit: min(left, 255))
      let time = machine.milliseconds(1 + chunk) * slowness(gaps.count)
      pacer.record(decodes: 1, drafts: 0, prefills: chunk, milliseconds: time)
      gaps.append(time / machine.milliseconds(1) / slowness(gaps.count))
      left -= chunk
    }
    let bound = (1 + StepPacer.stretch) * machine.milliseconds(1)
    let best = (1...255).last { machine.milliseconds(1 + $0) <= bound } ?? 1
    return (gaps, 1500 / Double(best) * machine.milliseconds(1 + best) / machine.milliseconds(1))
  }

  @Test(arguments: Machine.allCases) func aLongPromptStallsNobody(machine: Machine) {
    let (gaps, ideal) = admit(machine) { _ in 1 }
    #expect(gaps.sorted()[gaps.count * 99 / 100] <= 2)
    // And the prompt gets on.
    #expect(gaps.reduce(0, +) < 1.25 * ideal, "\(gaps.reduce(0, +) / ideal)")
  }

  /// A machine that is slower for a while, by others' use of its memory.
  @Test(arguments: Machine.allCases) func changesOfSpeedAreFollowed(machine: Machine) {
    let (gaps, ideal) = admit(machine) { $0 / 60 % 2 == 0 ? 1 : 1.8 }
    // A chunk that was right at one speed is too large for a few steps at the other.
    #expect(gaps.sorted()[gaps.count * 99 / 100] <= 2.25)
    #expect(gaps.reduce(0, +) < 1.5 * ideal, "\(gaps.reduce(0, +) / ideal)")
  }

  /// Drafts in every step must not keep a prompt from being admitted.
  @Test func promptsGetOnBesideDrafts() {
    var pacer = StepPacer()
    var admitted = 0
    for _ in 0..<100 {
      let chunk = pacer.chunk(limit: 64)
      admitted += chunk
      pacer.record(decodes: 1, drafts: 4, prefills: chunk, milliseconds: 10 + Double(chunk))
    }
    #expect(admitted >= 90)
  }
}
