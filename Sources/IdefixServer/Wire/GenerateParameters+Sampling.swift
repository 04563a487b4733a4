// The meaning of text-generation-inference's parameters: bounds with its exact error texts, and the
// request to the engine that they stand for. The order of the checks is its order too.

import Idefix

extension GenerateParameters {
  /// Whether tokens are drawn rather than the most probable taken.
  var samples: Bool {
    doSample == true || temperature != nil || topK != nil || topP != nil || typicalP != nil
  }

  /// Whether the reply has details.
  var wantsDetails: Bool { details == true || decoderInputDetails == true }

  /// The engine's request for `prompt`, once everything was checked.
  func request(
    for prompt: Prompt,
    streaming: Bool,
    context: Int,
    options: ServerOptions
  ) throws(ServerError) -> GenerationRequest {
    try check(streaming: streaming, context: context, options: options)
    var request = GenerationRequest(prompt: prompt)
    request.sampling = sampling
    request.count = bestOf ?? 1
    request.truncate = truncate
    request.promptLogprobs = decoderInputDetails == true ? 0 : nil
    request.constraint = try grammar?.constraint
    return request
  }

  private var sampling: SamplingOptions {
    var sampling = SamplingOptions()
    sampling.maxTokens = maxNewTokens
    // A temperature of 1 alone does not turn the sampler on: that is how clients write "unset".
    let draws =
      doSample == true || topK != nil || topP != nil || typicalP != nil
      || (temperature ?? 1) != 1
    sampling.temperature = draws ? temperature ?? 1 : 0
    sampling.topK = topK
    sampling.topP = topP
    sampling.typicalP = typicalP
    sampling.repetitionPenalty = repetitionPenalty ?? 1
    sampling.frequencyPenalty = frequencyPenalty ?? 0
    sampling.stop = stop ?? []
    sampling.keepsStopString = true
    sampling.seed = seed
    if let topNTokens, topNTokens > 0 { sampling.logprobs = topNTokens }
    return sampling
  }

  private func check(
    streaming: Bool,
    context: Int,
    options: ServerOptions
  ) throws(ServerError) {
    func require(_ holds: Bool, _ reason: @autoclosure () -> String) throws(ServerError) {
      guard holds else { throw .validation(reason()) }
    }
    let best = bestOf ?? 1
    try require(
      best > 0 && best <= options.maxBestOf,
      "`best_of` must be > 0 and <= \(options.maxBestOf). Given: \(best)"
    )
    try require(best == 1 || samples, "you must use sampling when `best_of` is > 1")
    try require(
      best == 1 || !streaming,
      "`best_of` != 1 is not supported when streaming tokens"
    )
    try require(temperature ?? 1 > 0, "`temperature` must be strictly positive")
    try require(repetitionPenalty ?? 1 > 0, "`repetition_penalty` must be strictly positive")
    try require(
      (-2...2).contains(frequencyPenalty ?? 0),
      "`frequency_penalty` must be >= -2.0 and <= 2.0"
    )
    try require((topP ?? 0.5) > 0 && (topP ?? 0.5) < 1, "`top_p` must be > 0.0 and < 1.0")
    try require(
      (typicalP ?? 0.5) > 0 && (typicalP ?? 0.5) < 1,
      "`typical_p` must be > 0.0 and < 1.0"
    )
    try require(topK ?? 1 > 0, "`top_k` must be strictly positive")
    try require(maxNewTokens ?? 1 > 0, "`max_new_tokens` must be strictly positive")
    let stops = stop?.count ?? 0
    try require(
      stops <= options.maxStopSequences,
      "`stop` supports up to \(options.maxStopSequences) stop sequences. Given: \(stops)"
    )
    try require(best == 1 || seed == nil, "`seed` must not be set when `best_of` > 1")
    let top = topNTokens ?? 0
    try require(
      (0...options.maxTopTokens).contains(top),
      "`top_n_tokens` must be >= 0 and <= \(options.maxTopTokens). Given: \(top)"
    )
    let maxInput = context - 1
    try require(
      (1...maxInput).contains(truncate ?? 1),
      "`truncate` must be strictly positive and less than \(maxInput). Given: \(truncate ?? 0)"
    )
    try require(
      !(streaming && decoderInputDetails == true),
      "`decoder_input_details` == true is not supported when streaming tokens"
    )
    try require(watermark != true, "`watermark` is not supported")
    try require(adapterID == nil, "`adapter_id` is not supported")
  }
}

extension Grammar {
  /// The constraint it stands for.
  var constraint: Constraint {
    get throws(ServerError) {
      switch type {
      case "regex":
        guard case .string(let pattern) = value else {
          throw .grammar("grammar is not valid: a `regex` is a string")
        }
        return .regex(pattern)
      case "json": return try Self.schema(value)
      case "json_schema":
        guard case .object(let fields) = value, let schema = fields["schema"] else {
          throw .grammar("grammar is not valid: a `json_schema` has a `schema`")
        }
        return try Self.schema(schema)
      default: throw .grammar("grammar is not valid: unknown type")
      }
    }
  }

  /// A schema given as an object, or as its text.
  private static func schema(_ value: JSONValue) throws(ServerError) -> Constraint {
    switch value {
    case .string(let text): return .jsonSchema(text)
    case .object(let fields):
      guard fields["properties"] != nil else {
        throw .validation("grammar is not valid: Grammar must have a 'properties' field")
      }
      guard let text = try? value.text else {
        throw .grammar("grammar is not valid: the schema cannot be read")
      }
      return .jsonSchema(text)
    default: throw .grammar("grammar is not valid: a schema is an object")
    }
  }
}
