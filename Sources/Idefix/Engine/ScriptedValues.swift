// Event values made by hand, for the scripts that stand in for an engine in the tests of front ends. Only
// this package sees them: to everybody else these values come from an engine alone.

extension TokenEvent {
  /// A token whose text is final at once.
  package init(
    scripted piece: String,
    id: Int32,
    index: Int,
    sequence: Int = 0,
    isSpecial: Bool = false,
    logprob: Float = -0.5,
    top: [TokenLogprob] = [],
    finishReason: FinishReason? = nil
  ) {
    self.init(
      sequence: sequence,
      index: index,
      id: id,
      piece: piece,
      text: isSpecial ? "" : piece,
      isSpecial: isSpecial,
      logprob: logprob,
      top: top,
      finishReason: finishReason
    )
  }
}

extension GeneratedSequence {
  /// An answer of these tokens.
  package init(
    scripted tokens: [TokenEvent],
    index: Int = 0,
    finishReason: FinishReason
  ) {
    self.init(
      index: index,
      text: tokens.map(\.text).joined(),
      tokens: tokens,
      finishReason: finishReason,
      score: tokens.reduce(0) { $0 + $1.logprob } / Float(max(tokens.count, 1))
    )
  }
}

extension GenerationResult {
  /// A result whose receipt has these times.
  package init(
    scripted sequences: [GeneratedSequence],
    prompt: PromptInfo,
    receipt: CostReceipt = CostReceipt()
  ) {
    self.init(sequences: sequences, prompt: prompt, receipt: receipt)
  }
}

extension CostReceipt {
  /// Milliseconds of the phases.
  package init(scriptedQueue queue: Double, encode: Double, prefill: Double, decode: Double) {
    self.init()
    self.queue.milliseconds = queue
    vision.milliseconds = encode
    self.prefill.milliseconds = prefill
    self.decode.milliseconds = decode
  }
}

extension PromptInfo {
  /// A prompt of these tokens.
  package init(scripted tokens: [Int32], images: Int = 0, seed: UInt64? = nil) {
    self.init(tokens: tokens, images: images, cachedTokens: 0, seed: seed)
  }
}

extension ScoredToken {
  /// A token of a prompt.
  package init(scripted text: String, id: Int32, logprob: Float?, top: [TokenLogprob] = []) {
    self.init(id: id, text: text, logprob: logprob, top: top)
  }
}

extension TokenText {
  /// A token of a rendered prompt.
  package init(scripted text: String, id: Int32, isSpecial: Bool = false) {
    self.init(id: id, text: text, isSpecial: isSpecial)
  }
}

extension ModelInfo {
  /// A small model.
  package init(scripted name: String, contextTokens: Int) {
    self.init(
      name: name,
      path: name,
      fingerprint: "0123456789abcdef",
      isInstruct: true,
      vocabularySize: 512,
      contextTokens: contextTokens,
      hiddenSize: 64,
      layers: 2,
      crossBlocks: 1,
      imageSize: 32,
      recipe: "q4",
      isa: "portable",
      threads: 1,
      cacheBytes: 1 << 20,
      bosToken: 1,
      eosToken: 2,
      endOfUtteranceToken: 3
    )
  }
}
