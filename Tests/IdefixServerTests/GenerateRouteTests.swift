// text-generation-inference's dialect: what is asked of the engine, what comes back, and the error texts.

import HTTPTypes
import Idefix
import IdefixServer
import Testing

@Suite struct GenerateRouteTests {
  @Test func repliesWithTheText() async throws {
    let server = TestServer()
    let response = try await server.post("/generate", #"{"inputs":"Hello"}"#)
    #expect(response.status == .ok)
    #expect(try response.json == JSON(#"{"generated_text":" A cat"}"#.utf8))
    let request = try #require(server.engine.requests.first)
    #expect(request.prompt.content == .interleaved([.text("Hello")]))
    #expect(request.prompt.parsesSpecialTokens)
    // Without parameters the model samples; with any, it does not.
    #expect(request.sampling.temperature == 1)
    #expect(request.sampling.keepsStopString)
  }

  @Test func emptyParametersAreGreedy() async throws {
    let server = TestServer()
    _ = try await server.post("/generate", #"{"inputs":"Hello","parameters":{}}"#)
    #expect(try #require(server.engine.requests.first).sampling.isGreedy)
  }

  @Test func handsOnEveryParameter() async throws {
    let server = TestServer()
    let response = try await server.post(
      "/generate",
      """
      {"inputs":"x","parameters":{"temperature":0.5,"repetition_penalty":1.2,"frequency_penalty":0.1,
       "top_k":5,"top_p":0.9,"typical_p":0.8,"do_sample":true,"max_new_tokens":7,
       "stop":["a","b"],"truncate":9,"seed":18446744073709551615,"top_n_tokens":2,
       "decoder_input_details":true,"grammar":{"type":"regex","value":"a+"},
       "watermark":false,"adapter_id":null,"return_full_text":null,"unknown":[{}]}}
      """
    )
    #expect(response.status == .ok)
    let request = try #require(server.engine.requests.first)
    var expected = SamplingOptions()
    expected.maxTokens = 7
    expected.temperature = 0.5
    expected.topK = 5
    expected.topP = 0.9
    expected.typicalP = 0.8
    expected.repetitionPenalty = 1.2
    expected.frequencyPenalty = 0.1
    expected.stop = ["a", "b"]
    expected.keepsStopString = true
    expected.seed = .max
    expected.logprobs = 2
    #expect(request.sampling == expected)
    #expect(request.truncate == 9)
    #expect(request.promptLogprobs == 0)
    #expect(request.constraint == .regex("a+"))
  }

  @Test func detailsHaveEveryKey() async throws {
    let server = TestServer()
    let response = try await server.post(
      "/generate",
      #"{"inputs":"x","parameters":{"decoder_input_details":true,"top_n_tokens":2}}"#
    )
    let details = try #require(try response.json["details"])
    #expect(details["finish_reason"]?.string == "eos_token")
    #expect(details["generated_tokens"]?.number == 3)
    #expect(details["seed"]?.isNull == true)
    let prefill = try #require(details["prefill"]?.array)
    #expect(prefill.count == 3)
    #expect(prefill[0]["logprob"]?.isNull == true)
    #expect(prefill[1]["text"]?.string == "p1")
    #expect(details["tokens"]?[0]?.keys == ["id", "text", "logprob", "special"])
    #expect(details["tokens"]?[0]?["text"]?.string == " A")
    #expect(details["tokens"]?[2]?["special"]?.bool == true)
    #expect(details["tokens"]?[2]?["text"]?.string == "</s>")
    // JSON has no infinity.
    #expect(details["top_tokens"]?[0]?[1]?["logprob"]?.number == -9999)
    #expect(details["best_of_sequences"] == nil)
  }

  @Test func bestOfIsTheMostProbable() async throws {
    let server = TestServer()
    let response = try await server.post(
      "/generate",
      #"{"inputs":"x","parameters":{"best_of":2,"do_sample":true,"details":true}}"#
    )
    let details = try #require(try response.json["details"])
    #expect(details["tokens"]?[0]?["logprob"]?.number == -1)
    #expect(details["best_of_sequences"]?.array?.count == 1)
    #expect(details["best_of_sequences"]?[0]?["tokens"]?[0]?["logprob"]?.number == -2)
  }

  @Test func fullTextBeginsWithTheInputs() async throws {
    let response = try await TestServer().post(
      "/generate",
      #"{"inputs":"Hello","parameters":{"return_full_text":true}}"#
    )
    #expect(try response.json["generated_text"]?.string == "Hello A cat")
  }

  @Test func headersTellTheTimes() async throws {
    let response = try await TestServer().post("/generate", #"{"inputs":"Hello"}"#)
    for name in [
      "x-compute-type", "x-compute-time", "x-total-time", "x-validation-time", "x-queue-time",
      "x-inference-time", "x-time-per-token", "x-request-id",
    ] {
      #expect(response.headers[try #require(HTTPField.Name(name))] != nil, "\(name)")
    }
    #expect(response.headers[try #require(HTTPField.Name("x-compute-characters"))] == "5")
    #expect(response.headers[try #require(HTTPField.Name("x-prompt-tokens"))] == "3")
    #expect(response.headers[try #require(HTTPField.Name("x-generated-tokens"))] == "3")
    #expect(response.headers[try #require(HTTPField.Name("x-queue-time"))] == "1")
    #expect(response.headers[try #require(HTTPField.Name("x-inference-time"))] == "9")
  }

  @Test func theRootWrapsInAnArray() async throws {
    let response = try await TestServer().post("/", #"{"inputs":"Hello"}"#)
    #expect(try response.json[0]?["generated_text"]?.string == " A cat")
    let stream = try await TestServer().post("/", #"{"inputs":"Hello","stream":true}"#)
    #expect(stream.headers[.contentType] == "text/event-stream")
    #expect(stream.events.count == 3)
  }

  @Test func streamsATokenAnEvent() async throws {
    var script = ScriptedEngine.Script()
    script.progress = [.images(done: 1, total: 1), .prefill(done: 2, total: 3)]
    let response = try await TestServer(script).post(
      "/generate_stream",
      #"{"inputs":"Hello","parameters":{"details":true,"max_new_tokens":5}}"#
    )
    #expect(response.status == .ok)
    #expect(response.headers[try #require(HTTPField.Name("x-accel-buffering"))] == "no")
    let events = try response.jsonEvents
    #expect(events.count == 3)
    #expect(events.map { $0["index"]?.number } == [1, 2, 3])
    #expect(events[0].keys == ["index", "token", "generated_text", "details"])
    #expect(events[0]["generated_text"]?.isNull == true)
    #expect(events[2]["generated_text"]?.string == " A cat")
    #expect(events[2]["details"]?["finish_reason"]?.string == "eos_token")
    #expect(events[2]["details"]?["generated_tokens"]?.number == 3)
    #expect(events[2]["details"]?["input_length"]?.number == 3)
    #expect(!response.events.contains("[DONE]"))
    #expect(
      response.comments == [
        #"{"done":1,"phase":"vision","total":1}"#, #"{"done":2,"phase":"prefill","total":3}"#,
      ]
    )
  }

  @Test func imagesAreTakenOutOfTheText() async throws {
    let server = TestServer()
    let body = #"{"inputs":"User:![](\#(pixelURI))what?<end_of_utterance>\nAssistant:"}"#
    #expect(try await server.post("/generate", body).status == .ok)
    let request = try #require(server.engine.requests.first)
    #expect(request.prompt.images.count == 1)
    guard case .interleaved(let parts) = request.prompt.content else {
      Issue.record("not interleaved")
      return
    }
    #expect(parts.first == .text("User:"))
    #expect(parts.last == .text("what?<end_of_utterance>\nAssistant:"))
  }

  /// Parameters with the text that refuses them.
  static let refusals: [(String, String)] = [
    (#""best_of":3"#, "`best_of` must be > 0 and <= 2. Given: 3"),
    (#""best_of":0"#, "`best_of` must be > 0 and <= 2. Given: 0"),
    (#""best_of":2"#, "you must use sampling when `best_of` is > 1"),
    (
      #""best_of":2,"do_sample":true,"seed":1"#, "`seed` must not be set when `best_of` > 1"
    ),
    (#""temperature":0"#, "`temperature` must be strictly positive"),
    (#""repetition_penalty":-1"#, "`repetition_penalty` must be strictly positive"),
    (#""frequency_penalty":2.1"#, "`frequency_penalty` must be >= -2.0 and <= 2.0"),
    (#""top_k":0"#, "`top_k` must be strictly positive"),
    (#""top_p":1.0"#, "`top_p` must be > 0.0 and < 1.0"),
    (#""typical_p":0.0"#, "`typical_p` must be > 0.0 and < 1.0"),
    (#""max_new_tokens":0"#, "`max_new_tokens` must be strictly positive"),
    (
      #""stop":["a","b","c","d","e"]"#, "`stop` supports up to 4 stop sequences. Given: 5"
    ),
    (#""truncate":0"#, "`truncate` must be strictly positive and less than 127. Given: 0"),
    (#""truncate":128"#, "`truncate` must be strictly positive and less than 127. Given: 128"),
    (#""top_n_tokens":6"#, "`top_n_tokens` must be >= 0 and <= 5. Given: 6"),
    (
      #""grammar":{"type":"json","value":{"type":"object"}}"#,
      "grammar is not valid: Grammar must have a 'properties' field"
    ),
    (#""watermark":true"#, "`watermark` is not supported"),
  ]

  @Test(arguments: refusals)
  func refusesWithTheExactText(_ parameters: String, _ text: String) async throws {
    let server = TestServer()
    let body = #"{"inputs":"x","parameters":{\#(parameters)}}"#
    let response = try await server.post("/generate", body)
    #expect(response.status.code == 422)
    let expected = "Input validation error: \(text)"
    #expect(try response.json["error"]?.string == expected)
    #expect(try response.json["error_type"]?.string == "validation")
    #expect(server.engine.requests.isEmpty)
    // In a stream the same text is an event, and the status is 200.
    let stream = try await server.post("/generate_stream", body)
    #expect(stream.status == .ok)
    #expect(try stream.jsonEvents.count == 1)
    #expect(try stream.jsonEvents[0]["error_type"]?.string == "validation")
  }

  @Test(arguments: [
    (#""best_of":2,"do_sample":true"#, "`best_of` != 1 is not supported when streaming tokens"),
    (
      #""decoder_input_details":true"#,
      "`decoder_input_details` == true is not supported when streaming tokens"
    ),
  ])
  func refusesInStreamsOnly(_ parameters: String, _ text: String) async throws {
    let body = #"{"inputs":"x","parameters":{\#(parameters)}}"#
    let stream = try await TestServer().post("/generate_stream", body)
    #expect(try stream.jsonEvents[0]["error"]?.string == "Input validation error: \(text)")
  }

  @Test(arguments: [
    (
      EngineError.promptTooLong(tokens: 200, limit: 128), 422, "validation",
      "Input validation error: `inputs` must have less than 128 tokens. Given: 200"
    ),
    (
      EngineError.contextExceeded(promptTokens: 100, maxTokens: 50, limit: 128), 422, "validation",
      "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 128. "
        + "Given: 100 `inputs` tokens and 50 `max_new_tokens`"
    ),
    (
      EngineError.invalidConstraint(reason: "it is nested too deeply"), 400, "validation",
      "Input validation error: The constraint cannot be used: it is nested too deeply."
    ),
    (EngineError.overloaded(limit: 3), 429, "overloaded", "Model is overloaded"),
    (
      EngineError.internalFailure(reason: "/home/x at 0x7f00"), 424, "generation",
      "Request failed during generation: internal error"
    ),
    (EngineError.shutDown, 503, "healthcheck", "unhealthy"),
  ])
  func tellsEngineErrors(
    _ error: EngineError,
    _ status: Int,
    _ kind: String,
    _ text: String
  ) async throws {
    var script = ScriptedEngine.Script()
    script.error = error
    let server = TestServer(script)
    let response = try await server.post("/generate", #"{"inputs":"x"}"#)
    #expect(response.status.code == status)
    #expect(try response.json["error"]?.string == text)
    #expect(try response.json["error_type"]?.string == kind)
    let stream = try await server.post("/generate_stream", #"{"inputs":"x"}"#)
    #expect(stream.status == .ok)
    #expect(try stream.jsonEvents.first?["error"]?.string == text)
  }

  @Test func vertexAnswersSeveralInstances() async throws {
    let server = TestServer()
    let response = try await server.post(
      "/vertex",
      """
      {"instances":[{"inputs":"x","parameters":{"top_k":3}},
       {"messages":[{"role":"user","content":"y"}],"max_tokens":2}]}
      """
    )
    #expect(try response.json == JSON(#"{"predictions":[" A cat"," A cat"]}"#.utf8))
    #expect(Set(server.engine.requests.map(\.sampling.topK)) == [3, nil])
    let refused = TestServer()
    for body in [
      #"{"instances":[]}"#, #"{"instances":[1]}"#, #"{"instances":[{"inputs":""}]}"#, "{}",
      #"{"instances":[\#(Array(repeating: #"{"inputs":"x"}"#, count: 5).joined(separator: ","))]}"#,
    ] {
      #expect(try await refused.post("/vertex", body).status.code == 422)
    }
    #expect(refused.engine.requests.isEmpty)
  }

  @Test func sagemakerTakesEveryDialect() async throws {
    let server = TestServer()
    let generate = try await server.post("/invocations", #"{"inputs":"x"}"#)
    #expect(try generate.json[0]?["generated_text"] != nil)
    let chat = try await server.post(
      "/invocations",
      #"{"messages":[{"role":"user","content":"x"}]}"#
    )
    #expect(try chat.json["object"]?.string == "chat.completion")
    let completion = try await server.post("/invocations", #"{"prompt":"x"}"#)
    #expect(try completion.json["object"]?.string == "text_completion")
  }
}
