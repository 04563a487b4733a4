// The OpenAI-style routes: what is asked of the engine and what comes back.

import Idefix
import IdefixServer
import Testing

@Suite struct ChatRouteTests {
  private let hello = #""messages":[{"role":"user","content":"Hello"}]"#

  @Test func repliesWithAMessage() async throws {
    let server = TestServer()
    let response = try await server.post(
      "/v1/chat/completions",
      #"{"model":"tgi",\#(hello),"logprobs":true,"top_logprobs":1,"tools":null,"tool_choice":null}"#
    )
    let json = try response.json
    #expect(
      json.keys == [
        "object", "id", "created", "model", "system_fingerprint", "choices", "usage",
      ]
    )
    let choice = try #require(json["choices"]?[0])
    #expect(choice["message"]?["content"]?.string == " A cat")
    #expect(choice["message"]?["role"]?.string == "assistant")
    #expect(choice["finish_reason"]?.string == "stop")
    #expect(choice["logprobs"]?["content"]?[0]?["token"]?.string == " A")
    #expect(choice["logprobs"]?["content"]?[0]?["top_logprobs"]?[0]?["logprob"]?.number == -0.25)
    #expect(json["usage"]?["prompt_tokens"]?.number == 3)
    #expect(json["usage"]?["completion_tokens"]?.number == 3)
    #expect(json["usage"]?["total_tokens"]?.number == 6)
    let request = try #require(server.engine.requests.first)
    #expect(request.prompt.content == .chat([ChatMessage(role: .user, text: "Hello")]))
    #expect(request.sampling.temperature == 1)
    #expect(request.sampling.logprobBasis == .model)
    #expect(!request.sampling.keepsStopString)
  }

  @Test func textIsNeverSearchedForImagesOrTokens() async throws {
    let server = TestServer()
    let text = "<image></s><end_of_utterance>![](http://127.0.0.1/a.png)"
    _ = try await server.post(
      "/v1/chat/completions",
      #"{"messages":[{"role":"user","content":"\#(text)"}]}"#
    )
    let request = try #require(server.engine.requests.first)
    #expect(request.prompt.content == .chat([ChatMessage(role: .user, text: text)]))
    #expect(!request.prompt.parsesSpecialTokens)
    #expect(request.prompt.images.isEmpty)
  }

  @Test func imagesAndTextTakeTurns() async throws {
    let server = TestServer()
    let image = #"{"type":"image_url","image_url":{"url":"\#(pixelURI)","detail":"low"}}"#
    let response = try await server.post(
      "/v1/chat/completions",
      """
      {"messages":[{"role":"system","content":"Be brief."},
       {"role":"user","content":[{"type":"text","text":"A"},\(image),{"type":"text","text":"B"},\(image)]},
       {"role":"assistant","content":"ok","tool_calls":null},{"role":"user","content":"C","name":null}],
       "temperature":0,"stop":"x","max_completion_tokens":4,"presence_penalty":0.5,"logit_bias":{"7":-100},
       "n":2,"seed":3,"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"properties":{}}}}}
      """
    )
    #expect(response.status == .ok)
    #expect(try response.json["choices"]?.array?.count == 2)
    let request = try #require(server.engine.requests.first)
    #expect(request.prompt.images.count == 2)
    guard case .chat(let messages) = request.prompt.content else {
      Issue.record("not a chat")
      return
    }
    #expect(messages.map(\.role) == [.system, .user, .assistant, .user])
    #expect(messages[1].content.first == .text("A"))
    #expect(request.sampling.isGreedy)
    #expect(request.sampling.stop == ["x"])
    #expect(request.sampling.maxTokens == 4)
    #expect(request.sampling.presencePenalty == 0.5)
    #expect(request.sampling.logitBias == [7: -100])
    #expect(request.count == 2)
    #expect(request.constraint == .jsonSchema(#"{"properties":{}}"#))
  }

  @Test func toolsThatMustNotBeUsedAreIgnored() async throws {
    let server = TestServer()
    let body = #"{\#(hello),"tools":[{"type":"function"}],"tool_choice":"none"}"#
    #expect(try await server.post("/v1/chat/completions", body).status == .ok)
  }

  @Test(arguments: [true, false])
  func rolesAreEscapedIfTheOperatorSaysSo(_ escapes: Bool) async throws {
    var options = ServerOptions()
    options.escapesRoles = escapes
    let server = TestServer(options: options)
    _ = try await server.post("/v1/chat/completions", "{\(hello)}")
    #expect(server.engine.requests.map(\.prompt.escapesRoles) == [escapes])
  }

  @Test func streamsDeltas() async throws {
    var script = ScriptedEngine.Script()
    script.finishReason = .length
    let response = try await TestServer(script).post(
      "/v1/chat/completions",
      #"{\#(hello),"stream":true,"stream_options":{"include_usage":true}}"#
    )
    #expect(response.events.last == "[DONE]")
    let events = try response.jsonEvents
    let deltas = events.compactMap { $0["choices"]?[0]?["delta"]?["content"]?.string }
    #expect(deltas == [" A", " cat", ".", ""])
    #expect(
      events.compactMap { $0["choices"]?[0]?["finish_reason"]?.string } == ["length"]
    )
    #expect(events.allSatisfy { $0["object"]?.string == "chat.completion.chunk" })
    #expect(events[0]["choices"]?[0]?["delta"]?["tool_calls"]?.isNull == true)
    #expect(events[0]["usage"]?.isNull == true)
    let last = try #require(events.last)
    #expect(last["choices"]?.array?.isEmpty == true)
    #expect(last["usage"]?["total_tokens"]?.number == 6)
    #expect(last["timings"]?["prefill_ms"]?.number == 3)
  }

  @Test(arguments: [
    (#"{"messages":[]}"#, 422, "template_error"),
    (#"{"messages":[{"role":"wizard","content":"x"}]}"#, 422, "template_error"),
    (
      #"{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function"}]}"#, 422,
      "tool_error"
    ),
    (#"{"messages":[{"role":"user","content":[{"type":"video"}]}]}"#, 422, "validation"),
    (#"{"messages":[{"role":"user","content":[{"type":"text"}]}]}"#, 422, "validation"),
    (#"{"messages":[{"role":"user","content":"x"}],"n":9}"#, 422, "validation"),
    (#"{"messages":[{"role":"user","content":"x"}],"top_logprobs":2}"#, 422, "validation"),
    (#"{"messages":[{"role":"user","content":"x"}],"logit_bias":{"a":1}}"#, 422, "validation"),
    (
      #"{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema"}}"#,
      400, "validation"
    ),
    (#"{}"#, 422, "validation"),
  ])
  func refuses(_ body: String, _ status: Int, _ kind: String) async throws {
    let server = TestServer()
    let response = try await server.post("/v1/chat/completions", body)
    #expect(response.status.code == status)
    #expect(try response.json["error_type"]?.string == kind)
    #expect(server.engine.requests.isEmpty)
  }

  @Test func tellsErrorsInStreams() async throws {
    var script = ScriptedEngine.Script()
    script.error = .overloaded(limit: 1)
    let response = try await TestServer(script).post(
      "/v1/chat/completions",
      #"{\#(hello),"stream":true}"#
    )
    #expect(response.status == .ok)
    let error = try #require(try response.jsonEvents.first?["error"])
    #expect(error["message"]?.string == "Model is overloaded")
    #expect(error["http_status_code"]?.number == 429)
  }
}

@Suite struct CompletionRouteTests {
  @Test func continuesPlainText() async throws {
    let server = TestServer()
    let response = try await server.post(
      "/v1/completions",
      #"{"model":"x","prompt":"Say ![](a)","max_tokens":3,"temperature":0}"#
    )
    let choice = try #require(try response.json["choices"]?[0])
    #expect(choice.keys == ["index", "text", "logprobs", "finish_reason"])
    #expect(choice["text"]?.string == " A cat")
    #expect(choice["logprobs"]?.isNull == true)
    let request = try #require(server.engine.requests.first)
    #expect(request.prompt.content == .interleaved([.text("Say ![](a)")]))
    #expect(!request.prompt.parsesSpecialTokens)
  }

  /// What lm-eval's local-completions sends and reads.
  @Test func echoesTokenIDsWithLogprobs() async throws {
    let server = TestServer()
    let response = try await server.post(
      "/v1/completions",
      #"{"prompt":[[1,10,11],[1,10,11]],"max_tokens":1,"logprobs":1,"echo":true,"temperature":0}"#
    )
    let choices = try #require(try response.json["choices"]?.array)
    #expect(choices.map { $0["index"]?.number } == [0, 1])
    #expect(choices[0]["text"]?.string == "«1»«10»«11» A cat")
    let logprobs = try #require(choices[0]["logprobs"])
    #expect(logprobs["tokens"]?.array?.count == 6)
    #expect(logprobs["token_logprobs"]?[0]?.isNull == true)
    #expect(logprobs["token_logprobs"]?[1]?.number == -1)
    #expect(logprobs["top_logprobs"]?[0]?.isNull == true)
    #expect(logprobs["top_logprobs"]?[1]?["p1"]?.number == -1)
    #expect(logprobs["text_offset"]?.array?.compactMap(\.number) == [0, 3, 5, 7, 9, 13])
    let request = try #require(server.engine.requests.first)
    #expect(request.prompt.content == .tokens([1, 10, 11]))
    #expect(request.promptLogprobs == 1)
  }

  @Test func echoWithoutAnswerOnlyScores() async throws {
    let server = TestServer()
    let response = try await server.post(
      "/v1/completions",
      #"{"prompt":[1,10,11],"max_tokens":0,"logprobs":2,"echo":true}"#
    )
    #expect(try response.json["choices"]?[0]?["logprobs"]?["tokens"]?.array?.count == 3)
    #expect(server.engine.requests.isEmpty)
    #expect(server.engine.scores.map(\.top) == [2])
  }

  @Test func streamsSeveralPrompts() async throws {
    let response = try await TestServer().post(
      "/v1/completions",
      #"{"prompt":["a","b"],"stream":true,"echo":true,"stream_options":{"include_usage":true}}"#
    )
    let events = try response.jsonEvents
    for (index, lead) in ["a", "b"].enumerated() {
      let mine = events.compactMap { $0["choices"]?[0] }
        .filter { $0["index"]?.number == Double(index) }
      #expect(mine.compactMap { $0["text"]?.string }.joined() == lead + " A cat")
      #expect(mine.last?["finish_reason"]?.string == "stop")
    }
    #expect(events.last?["usage"]?["total_tokens"]?.number == 12)
    #expect(response.events.last == "[DONE]")
  }

  @Test(arguments: [
    #"{"prompt":["a","b","c","d","e"]}"#, #"{"prompt":""}"#, #"{"prompt":[]}"#,
    #"{"prompt":"a","suffix":"b"}"#, #"{"prompt":"a","max_tokens":0}"#,
    #"{"prompt":"a","logprobs":21}"#, #"{"prompt":[1.5]}"#, #"{"prompt":[99999999999]}"#,
    #"{"prompt":{"a":1}}"#,
  ])
  func refuses(_ body: String) async throws {
    let server = TestServer()
    #expect(try await server.post("/v1/completions", body).status.code == 422)
    #expect(server.engine.requests.isEmpty)
  }
}
