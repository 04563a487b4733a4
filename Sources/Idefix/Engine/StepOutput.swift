// What becomes of a step's logits: prompt scores, verified drafts, new tokens, forks, ends of answers. Rows come in the
// order of the slices and their tokens.

import IdeficsModel

/// Takes in the logits of one step.
///
/// Belongs to the engine thread.
final class StepOutput {
  private let loop: EngineLoop
  private let planned: [PlannedSlice]
  /// For each row its slice and the offset of its token.
  private let rows: [(slice: Int, offset: Int)]
  /// Drafted tokens of each slice that held so far.
  private var accepted: [Int]
  private var isOver: [Bool]
  private var isAdvanced = false
  private var isMeasured = false
  /// When the pass was over.
  private var measured = ContinuousClock.now

  init(_ loop: EngineLoop, _ planned: [PlannedSlice]) {
    self.loop = loop
    self.planned = planned
    rows = planned.enumerated().flatMap { index, slice -> [(slice: Int, offset: Int)] in
      let count = slice.range.count + slice.draft.count
      switch slice.logits {
      case .none: return []
      case .last: return [(index, count - 1)]
      case .all: return (0..<count).map { (index, $0) }
      }
    }
    accepted = Array(repeating: 0, count: planned.count)
    isOver = Array(repeating: false, count: planned.count)
  }

  /// Books the step's time, once.
  func measure(since start: ContinuousClock.Instant) {
    guard !isMeasured else { return }
    isMeasured = true
    measured = .now
    let milliseconds = (measured - start).milliseconds
    let decodes = planned.count {
      $0.range.count == 1 && $0.range.upperBound == $0.sequence.tokens.count
    }
    let drafts = planned.reduce(0) { $0 + $1.draft.count }
    let tokens = planned.reduce(drafts) { $0 + $1.range.count }
    loop.scheduler.pacer.record(
      decodes: decodes,
      drafts: drafts,
      prefills: tokens - drafts - decodes,
      milliseconds: milliseconds
    )
    loop.counters.update {
      $0.steps += 1
      $0.stepTokens += tokens
      $0.stepSequences += planned.count
      $0.stepSeconds += milliseconds / 1e3
    }
  }

  /// Takes a row of logits.
  func take(_ row: Int, _ logits: [Float]) {
    advanceCaches()
    let (index, offset) = rows[row]
    let slice = planned[index]
    let sequence = slice.sequence
    guard !isOver[index], !sequence.request.isEnded, sequence.finishReason == nil else { return }
    let position = slice.range.lowerBound + offset
    if offset < slice.range.count { score(position, of: sequence, logits) }
    guard position >= slice.range.upperBound - 1, position == sequence.tokens.count - 1 else {
      return
    }
    guard sequence.request.prepared.generates else { return isOver[index] = true }
    let request = sequence.request
    if sequence.answerCount == 0 { loop.answerBegins(sequence) }
    // A preempted answer goes on where it was.
    if request.clock.phase != \.decode { request.clock.enter(\.decode, &request.receipt) }
    do throws(EngineError) {
      if sequence.request.beams != nil {
        isOver[index] = true
        return try loop.collect(logits, of: sequence)
      }
      // Further answers begin with the same logits.
      for other in loop.forks(of: sequence) { try loop.extend(other, logits) }
      let token = try loop.extend(sequence, logits)
      let draft = slice.draft.dropFirst(accepted[index]).first
      guard sequence.finishReason == nil, draft == token else { return isOver[index] = true }
      accepted[index] += 1
    } catch {
      loop.fail(sequence.request, error)
    }
  }

  /// Ends the step.
  func finish() {
    advanceCaches()
    let share = loop.scheduler.pacer.tokenShare
    for (index, slice) in planned.enumerated() {
      let sequence = slice.sequence
      guard !sequence.request.isEnded else { continue }
      if !slice.draft.isEmpty {
        verify(slice, accepted: accepted[index], share: share)
      } else if sequence.answerCount > 0, slice.range.count == 1 {
        sequence.drafter.record(drafted: 0, accepted: 0, tokenShare: share)
      }
      settle(sequence, slice)
    }
    loop.counters.update {
      $0.outputSeconds += (ContinuousClock.now - measured).milliseconds / 1e3
    }
  }

  private func verify(_ slice: PlannedSlice, accepted: Int, share: Double?) {
    let sequence = slice.sequence
    sequence.drafter.record(drafted: slice.draft.count, accepted: accepted, tokenShare: share)
    sequence.request.receipt.draftedTokens += slice.draft.count
    sequence.request.receipt.acceptedTokens += accepted
    loop.counters.update {
      $0.draftedTokens += slice.draft.count
      $0.acceptedTokens += accepted
    }
    // The token drawn last is not cached yet.
    if sequence.finishReason == nil {
      loop.scheduler.advance(sequence, to: slice.range.upperBound + accepted)
    }
  }

  /// Ends what is complete and tells how far the prompt has come.
  private func settle(_ sequence: SequenceState, _ slice: PlannedSlice) {
    let request = sequence.request
    let prompt = request.prepared.tokens.count
    if slice.range.lowerBound < prompt, sequence.index == 0 {
      let computed = min(slice.range.upperBound, prompt) - slice.range.lowerBound
      request.receipt.computedTokens += computed
      request.receipt.prefill.bytes +=
        (computed + pageTokens - 1) / pageTokens * loop.model.layers * loop.model.pageBytes
      if sequence.answerCount == 0 {
        let done = min(sequence.cachedCount, prompt)
        request.emit(.progress(.prefill(done: done, total: prompt)))
      }
    }
    let answered = max(sequence.cachedCount - max(slice.range.lowerBound, prompt), 0)
    request.receipt.decode.bytes += answered * loop.model.layers * loop.model.pageBytes / pageTokens
    if !request.prepared.generates, sequence.cachedCount >= prompt, sequence.finishReason == nil {
      sequence.finishReason = .length
      loop.answerBegins(sequence)
    }
    if request.beams == nil { loop.retire(request) } else { loop.advanceBeams(request) }
  }

  private func advanceCaches() {
    guard !isAdvanced else { return }
    isAdvanced = true
    for slice in planned where slice.draft.isEmpty && slice.sequence.finishReason == nil {
      loop.scheduler.advance(slice.sequence, to: slice.range.upperBound)
    }
  }

  private func score(_ position: Int, of sequence: SequenceState, _ logits: [Float]) {
    let request = sequence.request
    let prepared = request.prepared
    guard let top = prepared.promptLogprobs, sequence.index == 0, sequence.answerCount == 0 else {
      return
    }
    let next = position + 1
    guard next >= max(prepared.scoredFrom, 1), next < prepared.tokens.count else { return }
    // A preempted request computes rows again; their scores are the same.
    guard request.promptScores.count == next - max(prepared.scoredFrom, 1) else { return }
    request.promptScores.append(
      loop.reporter.score(
        prepared.tokens[next],
        logits: logits,
        top: top,
        reportsDistribution: prepared.reportsDistributions
      )
    )
  }
}
