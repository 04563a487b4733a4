// How answers grow and end.

extension EngineLoop {
  /// Called when a request's first answer is about to get its first token: the prompt is complete.
  func answerBegins(_ sequence: SequenceState) {
    let request = sequence.request
    guard sequence.index == 0, request.finished.isEmpty else { return }
    request.clock.enter(\.decode, &request.receipt)
    guard request.scoresPrompt else { return }
    let prepared = request.prepared
    let unscored = prepared.tokens.prefix(max(prepared.scoredFrom, 1)).map {
      ScoredToken(id: $0, text: reporter.text(of: $0), logprob: nil, top: [])
    }
    request.emit(.promptScored(unscored + request.promptScores))
  }

  /// The other answers of a request, made when the first has computed the prompt.
  func forks(of sequence: SequenceState) -> [SequenceState] {
    let request = sequence.request
    guard sequence.index == 0, sequence.answerCount == 0, request.prepared.count > 1,
      request.live.count == 1, request.finished.isEmpty
    else { return [] }
    let forks = (1..<request.prepared.count).map {
      SequenceState(forking: sequence, index: $0, sampler: sampler(for: request, index: $0))
    }
    request.live += forks
    for fork in forks { scheduler.addFork(fork) }
    return forks
  }

  /// Draws the next token of an answer, reports it, and says whether the answer ends.
  @discardableResult
  func extend(_ sequence: SequenceState, _ logits: [Float]) throws(EngineError) -> Int32 {
    let request = sequence.request
    let token = try draw(sequence, logits)
    let index = sequence.answerCount
    sequence.append(token.id)
    request.receipt.generatedTokens += 1
    counters.update { $0.generatedTokens += 1 }
    var text = sequence.answer.append(token.id)
    sequence.finishReason = finishReason(sequence, token.id)
    if sequence.finishReason != nil { text += sequence.answer.finish() }
    let event = TokenEvent(
      sequence: sequence.index,
      index: index,
      id: token.id,
      piece: reporter.text(of: token.id),
      text: text,
      isSpecial: reporter.isSpecial(token.id),
      logprob: token.logprob,
      top: reporter.named(token.top),
      finishReason: sequence.finishReason
    )
    sequence.events.append(event)
    request.emit(.token(event))
    return token.id
  }

  private func draw(
    _ sequence: SequenceState,
    _ logits: [Float]
  ) throws(EngineError) -> SampledToken {
    do {
      return try sequence.sampler.draw(logits, at: sequence.answerCount) {
        mask(&$0, for: sequence)
      }
    } catch .deadEnd where sequence.request.constraint?.hasFailed == true {
      throw .invalidConstraint(reason: "it is too complex")
    }
  }

  /// Bars what the constraint does not allow.
  func mask(_ scores: inout [Float], for sequence: SequenceState) {
    guard let constraint = sequence.request.constraint else { return }
    constraint.mask(&scores, in: sequence.constraintState, ends: endTokens)
  }

  /// Whether a token ends an answer.
  func isEnd(_ token: Int32, _ request: RequestState) -> Bool {
    let sampling = request.prepared.sampling
    let isEnd = token == special.eos || token == special.endOfUtterance
    return isEnd && !sampling.ignoresEOS || sampling.stopTokens.contains(token)
  }

  /// Length is tested first, then the end token, then stop strings.
  private func finishReason(_ sequence: SequenceState, _ token: Int32) -> FinishReason? {
    let prepared = sequence.request.prepared
    if sequence.answerCount >= prepared.maxTokens { return .length }
    if isEnd(token, sequence.request) { return .eos }
    // Under a constraint the answer also ends where nothing can follow.
    let isComplete = sequence.request.constraint?.isFinal(sequence.constraintState) ?? false
    return sequence.answer.stopString == nil && !isComplete ? nil : .stop
  }

  /// Takes finished answers out of the batch, and ends the request with the last of them.
  func retire(_ request: RequestState) {
    for sequence in request.live where sequence.finishReason != nil {
      scheduler.remove(sequence)
      request.finished.append(sequence)
    }
    request.live.removeAll { $0.finishReason != nil }
    if request.live.isEmpty, !request.finished.isEmpty { complete(request) }
  }
}

extension SequenceState {
  /// The answer as callers see it.
  var result: GeneratedSequence {
    let sum = events.reduce(0) { $0 + Double($1.logprob) }
    return GeneratedSequence(
      index: index,
      text: answer.text,
      tokens: events,
      finishReason: finishReason ?? .cancelled,
      stopString: answer.stopString,
      score: score ?? (events.isEmpty ? 0 : Float(sum / Double(events.count)))
    )
  }
}
