// From a request to what the engine thread works on: limits first, then the prompt's tokens, then its images. Runs on
// the caller's side. Every refusal happens here, before anything is queued.

import IdeficsModel
import Images
import Tokenizers

/// Validates and prepares requests for one model.
package struct RequestPreparer: Sendable {
  package let renderer: PromptRenderer
  private let processor: ImageProcessor
  private let vocabularySize: Int
  private let contextTokens: Int
  private let options: EngineOptions
  private let decoded = DecodedImages()

  /// A preparer for one model.
  package init(
    renderer: PromptRenderer,
    processor: ImageProcessor,
    vocabularySize: Int,
    contextTokens: Int,
    options: EngineOptions
  ) {
    self.renderer = renderer
    self.processor = processor
    self.vocabularySize = vocabularySize
    self.contextTokens = contextTokens
    self.options = options
  }

  /// A preparer for a checkpoint that has not been converted, by its companion files.
  package init(files: [String: [UInt8]], configuration: Configuration) throws {
    let tokenizer = try Tokenizer(files: files.filter { Tokenizer.fileNames.contains($0.key) })
    let processor = try ImageProcessor(
      json: files["preprocessor_config.json"],
      imageSize: configuration.vision.imageSize,
      path: "the checkpoint"
    )
    self.init(
      renderer: PromptRenderer(tokenizer: tokenizer),
      processor: processor,
      vocabularySize: min(configuration.totalVocabularySize, tokenizer.vocabulary.count),
      contextTokens: configuration.maxPositions,
      options: EngineOptions()
    )
  }

  /// Prepares a request for an answer.
  ///
  /// Throws an ``EngineError``, or `CancellationError` if the task was cancelled.
  package func prepare(_ request: GenerationRequest) throws -> PreparedRequest {
    let sampling = request.sampling
    try sampling.validate(vocabularySize: vocabularySize)
    try Self.check(
      request.count,
      1...GenerationRequest.maximumCount,
      "n",
      "must be >= 1 and <= \(GenerationRequest.maximumCount)"
    )
    if let beams = request.beams { try check(beams, of: request) }
    try checkTop(request.promptLogprobs, "prompt_logprobs")
    try Self.check(request.truncate ?? 1, 1...Int.max, "truncate", "must be strictly positive")
    let rendered = try render(request.prompt, truncate: request.truncate)
    let room = contextTokens - rendered.tokens.count
    guard room > 0 else {
      throw EngineError.promptTooLong(tokens: rendered.tokens.count, limit: contextTokens)
    }
    if let maxTokens = sampling.maxTokens, maxTokens > room {
      throw EngineError.contextExceeded(
        promptTokens: rendered.tokens.count,
        maxTokens: maxTokens,
        limit: contextTokens
      )
    }
    let images = try images(of: request.prompt, rendered.images, tenant: request.tenant)
    var prepared = PreparedRequest(
      tokens: rendered.tokens,
      attendedImages: rendered.attendedImages,
      images: images.prepared,
      decodedBytes: images.decodedBytes,
      sampling: sampling,
      seed: sampling.seed ?? UInt64.random(in: 0 ... .max),
      maxTokens: sampling.maxTokens ?? room,
      root: .root(tenant: salt(request.tenant))
    )
    prepared.count = request.count
    prepared.beams = request.beams
    if let constraint = request.constraint {
      let horizon = renderer.tokenizer.vocabulary.longestText
      prepared.constraint = try CompiledConstraint(constraint, horizon: horizon)
    }
    prepared.badWords = sampling.badWords.flatMap(tokenizations)
    prepared.promptLogprobs = request.promptLogprobs
    prepared.usesPrefixCache = request.usesPrefixCache && options.prefixCache
    prepared.speculates = request.speculates
    return prepared
  }

  /// Prepares a request for scores.
  package func prepare(_ request: ScoreRequest) throws -> PreparedRequest {
    try checkTop(request.top, "top")
    let rendered = try render(request.prompt, truncate: nil)
    guard rendered.tokens.count <= contextTokens else {
      throw EngineError.promptTooLong(tokens: rendered.tokens.count, limit: contextTokens + 1)
    }
    try Self.check(
      request.scoredFrom,
      0...(rendered.tokens.count - 1),
      "scored_from",
      "must be the place of a token of the prompt"
    )
    let images = try images(of: request.prompt, rendered.images, tenant: request.tenant)
    var prepared = PreparedRequest(
      tokens: rendered.tokens,
      attendedImages: rendered.attendedImages,
      images: images.prepared,
      decodedBytes: images.decodedBytes,
      sampling: SamplingOptions(),
      seed: 0,
      maxTokens: 0,
      root: .root(tenant: salt(request.tenant))
    )
    prepared.promptLogprobs = request.top
    prepared.scoredFrom = request.scoredFrom
    prepared.reportsDistributions = request.reportsDistributions
    prepared.generates = false
    prepared.usesPrefixCache = options.prefixCache
    return prepared
  }

  private func render(
    _ prompt: Prompt,
    truncate: Int?
  ) throws(EngineError) -> RenderedPrompt {
    let count = prompt.images.count
    guard count <= options.maxImages else {
      throw .tooManyImages(count: count, limit: options.maxImages)
    }
    return try renderer.render(prompt, truncate: truncate)
  }

  private func images(
    of prompt: Prompt,
    _ range: Range<Int>,
    tenant: String
  ) throws -> (prepared: [PreparedImage], decodedBytes: Int) {
    var limits = ImageLimits.default
    limits.pixels = options.maxImagePixels
    var prepared: [PreparedImage] = []
    var decodedBytes = 0
    let images = prompt.images
    for index in range {
      try Task.checkCancellation()
      prepared.append(
        try self.image(images[index], at: index, limits, salt: salt(tenant), &decodedBytes)
      )
    }
    return (prepared, decodedBytes)
  }

  private func image(
    _ input: ImageInput,
    at index: Int,
    _ limits: ImageLimits,
    salt: String,
    _ decodedBytes: inout Int
  ) throws -> PreparedImage {
    let side = processor.imageSize
    switch input.content {
    case .pixels(let values):
      guard let pixels = PixelTensor(height: side, width: side, values: values) else {
        throw EngineError.invalidImage(
          index: index,
          reason: "it needs 3 · \(side) · \(side) pixel values"
        )
      }
      let digest = ContentKey.digest(pixels: values, side: side)
      return PreparedImage(
        pixels: pixels,
        digest: digest,
        key: .image(digest: digest, tenant: salt)
      )
    case .encoded(let bytes):
      let name = ContentKey.file(bytes, tenant: salt)
      if let known = decoded.image(name) { return known }
      let values: [Float]
      do throws(ImageError) {
        values = try processor.process(try ImageDecoder.decode(bytes, limits: limits))
      } catch .cancelled {
        throw CancellationError()
      } catch {
        throw EngineError.invalidImage(index: index, reason: Self.clause(error.description))
      }
      decodedBytes += values.count * MemoryLayout<Float>.stride
      let image = try self.image(.pixels(values), at: index, limits, salt: salt, &decodedBytes)
      decoded.keep(image, as: name)
      return image
    }
  }

  /// Prepares a prompt whose state is to be computed and kept, without an answer.
  package func prepare(prefix: Prompt, tenant: String) throws -> PreparedRequest {
    var request = ScoreRequest(prompt: prefix)
    request.tenant = tenant
    var prepared = try prepare(request)
    prepared.promptLogprobs = nil
    prepared.usesPrefixCache = true
    return prepared
  }

  /// What goes into the names of a tenant's state.
  package func salt(_ tenant: String) -> String { options.sharesCacheAcrossTenants ? "" : tenant }

  /// A bad word at the start of a word and inside one.
  private func tokenizations(_ word: String) -> [[Int32]] {
    // A byte token never merges, so what follows it is tokenised without a space mark in front.
    let anchor = renderer.tokenizer.encode("\n", parseSpecial: false)
    let inside = renderer.tokenizer.encode("\n" + word, parseSpecial: false)
    let start = renderer.tokenizer.encode(word, parseSpecial: false)
    guard inside.starts(with: anchor) else { return [start] }
    return [start, Array(inside.dropFirst(anchor.count))]
  }

  private func check(_ beams: BeamOptions, of request: GenerationRequest) throws(EngineError) {
    let most = min(GenerationRequest.maximumCount, options.maxSequences)
    try Self.check(beams.width, 1...most, "num_beams", "must be >= 1 and <= \(most)")
    try Self.check(request.count, 1...beams.width, "n", "must be <= num_beams")
    guard abs(beams.lengthPenalty) <= 10 else {
      throw .invalidParameter(name: "length_penalty", reason: "must be >= -10 and <= 10")
    }
    guard request.sampling.isGreedy else {
      throw .invalidParameter(name: "temperature", reason: "must be 0 with beam search")
    }
  }

  private func checkTop(_ top: Int?, _ name: String) throws(EngineError) {
    try Self.check(
      top ?? 0,
      0...SamplingOptions.maximumLogprobs,
      name,
      "must be >= 0 and <= \(SamplingOptions.maximumLogprobs)"
    )
  }

  private static func check(
    _ value: Int,
    _ range: ClosedRange<Int>,
    _ name: String,
    _ reason: String
  ) throws(EngineError) {
    guard range.contains(value) else { throw .invalidParameter(name: name, reason: reason) }
  }

  /// A sentence as a clause: no capital, no full stop.
  private static func clause(_ sentence: String) -> String {
    let start = sentence.prefix(1).lowercased() + sentence.dropFirst()
    return start.hasSuffix(".") ? String(start.dropLast()) : start
  }
}
