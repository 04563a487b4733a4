// How beams grow: every beam's best continuations are collected as its logits come; when all are there, the beams
// are chosen anew. A beam that goes on more than once is forked; its blocks are shared until they differ.

extension EngineLoop {
  /// Takes the logits of one beam.
  func collect(_ logits: [Float], of sequence: SequenceState) throws(EngineError) {
    let request = sequence.request
    guard let place = request.live.firstIndex(where: { $0 === sequence }) else { return }
    guard logits.allSatisfy({ $0 < .infinity }) else {
      throw .internalFailure(reason: "the model produced a score that is no number")
    }
    let total = ScoreMath.logSumExp(logits)
    let scores = sequence.sampler.processed(logits.map { Float(Double($0) - total) }) {
      mask(&$0, for: sequence)
    }
    let count = request.beams?.candidateCount ?? 0
    let candidates = TopSelection.largest(count, of: scores).filter { scores[$0] > -.infinity }.map
    {
      BeamSearch.Candidate(
        beam: place,
        token: Int32($0),
        logprob: scores[$0],
        sum: sequence.beamScore + Double(scores[$0])
      )
    }
    request.beams?.collect(candidates, of: place)
  }

  /// Chooses the next beams once all logits are there; ends the request if nothing can get better.
  func advanceBeams(_ request: RequestState) {
    guard let search = request.beams, !request.isEnded,
      let candidates = request.beams?.ranked(beams: request.live.count)
    else { return }
    var chosen: [BeamSearch.Candidate] = []
    for (rank, candidate) in candidates.enumerated() {
      if isEnd(candidate.token, request) {
        guard rank < search.options.width else { continue }
        let answer = SequenceState(
          forking: request.live[candidate.beam],
          index: 0,
          sampler: request.live[candidate.beam].sampler
        )
        answer.dropBlocks()
        append(candidate, to: answer, reason: .eos)
        request.beams?.complete(answer)
      } else if chosen.count < search.options.width {
        chosen.append(candidate)
      }
    }
    grow(request, chosen)
    let length = (request.live.first ?? request.beams?.hypotheses.first?.sequence)?.answerCount ?? 0
    let best = candidates.first?.sum ?? -.infinity
    if request.live.isEmpty || request.beams?.isDone(bestSum: best, length: length) == true
      || length >= request.prepared.maxTokens
    {
      finishBeams(request)
    }
  }

  private func grow(_ request: RequestState, _ chosen: [BeamSearch.Candidate]) {
    let old = request.live
    var taken: Set<Int> = []
    var next: [(SequenceState, BeamSearch.Candidate)] = []
    for candidate in chosen {
      let source = old[candidate.beam]
      if taken.insert(candidate.beam).inserted {
        next.append((source, candidate))
      } else {
        let fork = SequenceState(forking: source, index: next.count, sampler: source.sampler)
        scheduler.addFork(fork)
        next.append((fork, candidate))
      }
    }
    for (place, beam) in old.enumerated() where !taken.contains(place) { scheduler.remove(beam) }
    // Forks were made before any source grows.
    request.live = []
    for (sequence, candidate) in next {
      append(candidate, to: sequence, reason: nil)
      let isFinal = request.constraint?.isFinal(sequence.constraintState) ?? false
      if sequence.answer.stopString != nil || isFinal {
        scheduler.remove(sequence)
        sequence.finishReason = .stop
        request.beams?.complete(sequence)
      } else {
        request.live.append(sequence)
      }
    }
  }

  private func append(
    _ candidate: BeamSearch.Candidate,
    to sequence: SequenceState,
    reason: FinishReason?
  ) {
    let index = sequence.answerCount
    sequence.append(candidate.token)
    sequence.beamScore = candidate.sum
    sequence.request.receipt.generatedTokens += 1
    var text = sequence.answer.append(candidate.token)
    if reason != nil { text += sequence.answer.finish() }
    sequence.finishReason = reason
    sequence.events.append(
      TokenEvent(
        sequence: 0,
        index: index,
        id: candidate.token,
        piece: reporter.text(of: candidate.token),
        text: text,
        isSpecial: reporter.isSpecial(candidate.token),
        logprob: candidate.logprob,
        top: [],
        finishReason: reason
      )
    )
  }

  private func finishBeams(_ request: RequestState) {
    for beam in request.live {
      scheduler.remove(beam)
      beam.finishReason = .length
      let rest = beam.answer.finish()
      if !beam.events.isEmpty {
        beam.events[beam.events.count - 1].text += rest
        beam.events[beam.events.count - 1].finishReason = .length
      }
      request.beams?.complete(beam)
    }
    request.live = []
    let best = (request.beams?.hypotheses ?? []).prefix(request.prepared.count)
    guard !best.isEmpty else { return fail(request, EngineError.deadEnd) }
    for (rank, hypothesis) in best.enumerated() {
      let sequence = hypothesis.sequence
      sequence.index = rank
      sequence.score = Float(hypothesis.score)
      for index in sequence.events.indices {
        sequence.events[index].sequence = rank
        request.emit(.token(sequence.events[index]))
      }
      request.finished.append(sequence)
    }
    counters.update { $0.generatedTokens += best.reduce(0) { $0 + $1.sequence.events.count } }
    complete(request)
  }
}
