// The engine thread: takes messages, admits, encodes an image, steps the batch, reports, and round again. Owns all
// model state; nothing here blocks but the wait for work.

import IdeficsModel
import Tokenizers

/// The loop of one engine.
///
/// Belongs to the engine thread.
final class EngineLoop {
  let model: any ForwardModel
  let scheduler: Scheduler
  let reporter: TokenReporter
  let special: SpecialTokens
  let counters: EngineCounters
  private let mailbox: Mailbox
  private let tokenTable: SharedTokenTable
  private lazy var constraints = ConstraintCache(
    table: tokenTable.value,
    vocabularySize: model.vocabularySize
  )
  /// The tokens that end an answer and that the model can produce.
  let endTokens: [Int32]
  private var requests: [UInt64: RequestState] = [:]
  private var isShutDown = false

  init(
    model: any ForwardModel,
    tokenizer: Tokenizer,
    tokenTable: SharedTokenTable,
    options: EngineOptions,
    mailbox: Mailbox,
    counters: EngineCounters
  ) {
    self.model = model
    self.tokenTable = tokenTable
    self.mailbox = mailbox
    self.counters = counters
    reporter = TokenReporter(vocabulary: tokenizer.vocabulary)
    special = tokenizer.specialTokens
    endTokens = [special.eos, special.endOfUtterance].compactMap { $0 }
      .filter { Int($0) < model.vocabularySize }
    scheduler = Scheduler(
      model: model,
      maxSequences: options.maxSequences,
      poisonsPages: options.poisonsPages
    )
  }

  /// Works until the engine is shut down.
  func run() {
    var isIdle = true
    while !isShutDown {
      let messages = mailbox.take(wait: isIdle)
      for message in messages { handle(message) }
      guard !isShutDown else { break }
      isIdle = !advance()
      publishGauges()
    }
    for message in mailbox.close() {
      switch message {
      case .submit(let submission): submission.close(EngineError.shutDown)
      case .perform(let body): body(nil)
      case .cancel, .shutDown: break
      }
    }
    for request in requests.values { fail(request, EngineError.shutDown) }
    publishGauges()
  }

  private func handle(_ message: Mailbox.Message) {
    switch message {
    case .submit(let submission): start(submission)
    case .cancel(let id):
      guard let request = requests[id] else { return }
      counters.update { $0.cancelled += 1 }
      end(request)
      request.close(nil)
    case .perform(let body): body(self)
    case .shutDown: isShutDown = true
    }
  }

  private func start(_ submission: Mailbox.Submission) {
    let prepared = submission.prepared
    let request = RequestState(
      id: submission.id,
      prepared: prepared,
      constraint: prepared.constraint.map { constraints.matcher(for: $0, root: prepared.root) },
      receipt: submission.receipt,
      submitted: submission.time,
      emit: submission.emit,
      close: submission.close
    )
    requests[request.id] = request
    let sequence = SequenceState(
      request: request,
      index: 0,
      layers: model.layers,
      sampler: sampler(for: request, index: 0),
      answer: AnswerText(
        vocabulary: reporter.vocabulary,
        stops: request.prepared.sampling.stop,
        keepsStopString: request.prepared.sampling.keepsStopString
      )
    )
    request.live = [sequence]
    // All beams step together, so they have to fit together.
    guard scheduler.pagesNeeded(beamsOf: request) <= model.pages else {
      return fail(request, shortage(for: sequence))
    }
    scheduler.enqueue(sequence)
  }

  func sampler(for request: RequestState, index: Int) -> Sampler {
    let prepared = request.prepared
    return Sampler(
      options: prepared.sampling,
      processors: LogitsProcessors(
        options: prepared.sampling,
        barred: [special.image, special.fakeTokenAroundImage].compactMap { $0 },
        badWords: prepared.badWords,
        prompt: prepared.tokens
      ),
      random: RandomStream(seed: prepared.seed, sequence: index)
    )
  }

  // MARK: One round

  /// One round of work; false if there was nothing to do.
  private func advance() -> Bool {
    for sequence in scheduler.admit() { fail(sequence.request, shortage(for: sequence)) }
    for sequence in scheduler.running where !sequence.request.hasStarted {
      announce(sequence.request)
    }
    let hasEncoded = encodeNextImage()
    let slices = scheduler.plan()
    let exhausted = scheduler.takeExhausted()
    for sequence in exhausted { endForWantOfPages(sequence) }
    guard !slices.isEmpty else {
      if hasEncoded || !exhausted.isEmpty { return true }
      guard let stuck = scheduler.waiting.first else { return false }
      fail(stuck.request, shortage(for: stuck))
      return true
    }
    step(slices)
    return true
  }

  private func shortage(for sequence: SequenceState) -> EngineError {
    let needed = scheduler.pagesNeeded(
      tokens: sequence.tokens.count,
      images: sequence.images(from: 0).count
    )
    return .outOfPages(needed: needed, available: model.pages)
  }

  /// Ends an answer that has nobody left to take pages from.
  private func endForWantOfPages(_ sequence: SequenceState) {
    guard sequence.answerCount > 0, sequence.request.beams == nil else {
      return fail(sequence.request, shortage(for: sequence))
    }
    sequence.finishReason = .length
    retire(sequence.request)
  }

  private func announce(_ request: RequestState) {
    request.hasStarted = true
    counters.update { $0.cachedTokens += request.receipt.cachedTokens }
    request.emit(.started(request.promptInfo))
  }

  private func encodeNextImage() -> Bool {
    guard let (request, index, table) = scheduler.nextImage() else { return false }
    let phase = request.clock.phase
    request.clock.enter(\.vision, &request.receipt)
    let start = ContinuousClock.now
    do {
      try mailbox.withPass(for: [request.id]) {
        try model.encode(request.prepared.images[index].pixels, into: table) { stage, bytes in
          request.receipt[keyPath: stage.cost].bytes += bytes
          request.clock.enter(stage.next?.cost ?? phase, &request.receipt)
        }
      }
    } catch ModelError.cancelled {
      return true
    } catch let error as EngineError {
      fail(request, error)
      return true
    } catch {
      fail(request, EngineError.invalidImage(index: index, reason: "\(error)"))
      return true
    }
    scheduler.imageIsEncoded(index, of: request)
    counters.update {
      $0.imagesEncoded += 1
      $0.encodeSeconds += (ContinuousClock.now - start).milliseconds / 1e3
    }
    let total = request.images.count { $0.block != nil }
    let done = request.images.count { $0.pages != nil }
    request.emit(.progress(.images(done: done, total: total)))
    return true
  }

  private func step(_ planned: [PlannedSlice]) {
    let slices = planned.map { slice in
      let sequence = slice.sequence
      let range = slice.range.lowerBound..<(slice.range.upperBound + slice.draft.count)
      return SequenceSlice(
        tokens: Array(sequence.tokens[slice.range]) + slice.draft,
        position: slice.range.lowerBound,
        pages: sequence.table,
        imageRuns: sequence.imageRuns(range),
        logits: slice.logits
      )
    }
    let output = StepOutput(self, planned)
    let start = ContinuousClock.now
    do {
      try mailbox.withPass(for: Set(planned.map(\.sequence.request.id))) {
        try model.step(slices) { row, logits in
          output.measure(since: start)
          output.take(row, logits)
        }
      }
    } catch ModelError.cancelled {
      return
    } catch {
      let error = error as? EngineError ?? .internalFailure(reason: "\(error)")
      for request in Set(planned.map(\.sequence.request.id)).compactMap({ requests[$0] }) {
        fail(request, error)
      }
      return
    }
    output.measure(since: start)
    output.finish()
  }

  // MARK: Ends

  /// Ends a request whose answers are complete.
  func complete(_ request: RequestState) {
    request.clock.enter(\.decode, &request.receipt)
    let sequences = request.finished.sorted { $0.index < $1.index }
    let result = GenerationResult(
      sequences: sequences.map { $0.result },
      prompt: request.promptInfo,
      receipt: request.receipt
    )
    end(request)
    counters.update { $0.finished += 1 }
    request.emit(.finished(result))
    request.close(nil)
  }

  /// Ends a request with an error.
  func fail(_ request: RequestState, _ error: any Error) {
    guard !request.isEnded else { return }
    end(request)
    counters.update { $0.failed += 1 }
    request.close(error)
  }

  private func end(_ request: RequestState) {
    request.isEnded = true
    counters.update { $0.imagesCached += request.receipt.cachedImages }
    for sequence in request.live { scheduler.remove(sequence) }
    // Sequences hold their request: what the request holds of them has to go, or neither ever does.
    request.live = []
    request.finished = []
    request.beams = nil
    requests[request.id] = nil
  }

  private func publishGauges() {
    let pool = scheduler.pool
    counters.update {
      $0.waiting = scheduler.waiting.count
      $0.running = scheduler.running.count
      $0.runningTokens = scheduler.running.reduce(0) { $0 + $1.tokens.count }
      $0.runningTokenLimit = scheduler.running.reduce(0) {
        $0 + $1.request.prepared.tokens.count + $1.request.prepared.maxTokens
      }
      $0.preemptions = scheduler.preemptions
      $0.pages = pool.capacity
      $0.pagesInUse = pool.pagesInUse
      $0.pagesCached = pool.pagesIdle
    }
  }
}
