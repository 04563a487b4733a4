// Bodies that are too large, too deep or of the wrong kind; numbers out of range; too many images and too
// many requests. Each is refused with a status and a text that says which rule it broke.

import HTTPTypes
import Idefix
import IdefixServer
import NIOCore
import Testing

@Suite struct RequestLimitTests {
  @Test(arguments: ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
  func otherTypesAreRefused(_ type: String) async throws {
    let response = try await TestServer().post(
      "/generate",
      #"{"inputs":"x"}"#,
      headers: [.contentType: type]
    )
    #expect(response.status == .unsupportedMediaType)
  }

  @Test func aCharsetIsNoOtherType() async throws {
    let response = try await TestServer().post(
      "/generate",
      #"{"inputs":"x"}"#,
      headers: [.contentType: "Application/JSON; charset=utf-8"]
    )
    #expect(response.status == .ok)
  }

  @Test(arguments: ["", "{", "nothing", #"{"inputs":"x""#, "\u{FEFF}", #"{"inputs":"\ud800"}"#])
  func malformedJSONIs400(_ body: String) async throws {
    let response = try await TestServer().post("/generate", body)
    #expect(response.status == .badRequest)
    #expect(try response.json["error_type"]?.string == "validation")
  }

  @Test func largeBodiesAreRefused() async throws {
    var options = ServerOptions()
    options.maxBodyBytes = 1000
    let server = TestServer(options: options)
    let filler = String(repeating: "x", count: 990)
    let response = try await server.post("/generate", #"{"inputs":"\#(filler)"}"#)
    #expect(response.status == .contentTooLarge)
    // The same without a declared length.
    let chunked = try await server.run(.ahc()) { client in
      try await client.execute(
        uri: "/generate",
        method: .post,
        headers: [.contentType: "application/json", .transferEncoding: "chunked"],
        body: ByteBuffer(string: #"{"inputs":"\#(filler)"}"#)
      )
    }
    #expect(chunked.status == .contentTooLarge)
  }

  @Test func bodiesHeldAtOnceAreBounded() async throws {
    var options = ServerOptions()
    options.maxBufferedBytes = 100
    let response = try await TestServer(options: options).post(
      "/generate",
      #"{"inputs":"\#(String(repeating: "x", count: 200))"}"#
    )
    #expect(response.status == .tooManyRequests)
    #expect(try response.json["error_type"]?.string == "overloaded")
  }

  @Test(arguments: [65, 10_000, 200_000])
  func deepJSONIsRefused(_ depth: Int) async throws {
    let nest = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    let response = try await TestServer().post("/generate", #"{"inputs":"x","a":\#(nest)}"#)
    #expect(response.status == .badRequest)
    #expect(try response.json["error"]?.string?.contains("nested deeper than 64") == true)
  }

  @Test func bracketsInStringsAreText() throws {
    let limits = JSONLimits(depth: 2, elements: 2)
    try limits.check(Array(#"{"a":"[[[[[[\"[[[,,,:::"}"#.utf8).span)
    #expect(throws: ServerError.self) { try limits.check(Array("[[[".utf8).span) }
    #expect(throws: ServerError.self) { try limits.check(Array("[1,2,3,4]".utf8).span) }
  }

  @Test func manyKeysAreRefused() async throws {
    let keys = (0..<250_000).map { #""k\#($0)":0"# }.joined(separator: ",")
    let response = try await TestServer().post("/generate", #"{"inputs":"x",\#(keys)}"#)
    #expect(response.status == .badRequest)
  }

  /// Every numeric field, with values that no such field can hold.
  static let numbers: [(String, [String])] = [
    ("max_new_tokens", ["-1", "9223372036854775808", "1e400", "\"5\"", "1.5", "[1]"]),
    ("temperature", ["-0.1", "1e400", "\"hot\"", "{}"]),
    ("top_k", ["-5", "9223372036854775808", "\"3\""]),
    ("top_p", ["-1", "1e400", "true"]),
    ("seed", ["-1", "18446744073709551616", "1.5", "\"7\""]),
    ("best_of", ["-1", "9223372036854775808", "\"1\""]),
    ("truncate", ["-1", "1e400", "\"1\""]),
    ("repetition_penalty", ["-1", "1e400", "\"1\""]),
    ("frequency_penalty", ["-3", "1e400", "\"1\""]),
    ("top_n_tokens", ["-1", "9223372036854775808", "\"1\""]),
  ]

  /// The same for the OpenAI-style routes: field, values, and the routes that have it.
  static let openAINumbers: [(String, [String])] = [
    ("max_tokens", ["-1", "9223372036854775808", "1e400", "\"5\"", "1.5"]),
    ("temperature", ["-0.1", "1e400", "-1e400", "\"hot\"", "[]"]),
    ("top_p", ["-1", "1.5", "1e400", "true"]),
    ("seed", ["-1", "18446744073709551616", "1.5", "\"7\""]),
    ("n", ["-1", "0", "1e400", "9223372036854775808", "\"1\""]),
    ("frequency_penalty", ["-3", "1e400", "\"1\""]),
    ("presence_penalty", ["2.5", "1e400", "\"1\""]),
    ("logit_bias", [#"{"1":101}"#, #"{"-1":1}"#, #"{"9223372036854775808":1}"#, #"{"1":1e400}"#]),
  ]
  static let chatNumbers = [
    ("max_completion_tokens", ["-1", "1e400"]), ("top_logprobs", ["-1", "21", "1e400", "\"1\""]),
  ]
  static let completionNumbers = [
    ("logprobs", ["-1", "21", "1e400", "\"1\""]), ("repetition_penalty", ["0", "-1", "1e400"]),
  ]

  @Test func numbersOfOpenAIRoutesNameTheField() async throws {
    let routes = [
      (
        "/v1/chat/completions", #""logprobs":true,"messages":[{"role":"user","content":"x"}]"#,
        Self.openAINumbers + Self.chatNumbers
      ),
      ("/v1/completions", #""prompt":"x""#, Self.openAINumbers + Self.completionNumbers),
    ]
    let server = TestServer()
    try await server.run { client in
      for (path, body, fields) in routes {
        for (field, values) in fields {
          for value in values {
            let response = try await client.execute(
              uri: path,
              method: .post,
              headers: [.contentType: "application/json"],
              body: ByteBuffer(string: #"{\#(body),"\#(field)":\#(value)}"#)
            )
            #expect(response.status.code == 422, "\(path) \(field): \(value)")
            let name = "`" + field.replacing("max_completion_tokens", with: "max_")
            #expect(response.text.contains(name), "\(path) \(field): \(value) → \(response.text)")
          }
        }
      }
    }
  }

  @Test(arguments: numbers)
  func numbersOutOfRangeNameTheField(_ field: String, _ values: [String]) async throws {
    let server = TestServer()
    for value in values {
      let response = try await server.post(
        "/generate",
        #"{"inputs":"x","parameters":{"\#(field)":\#(value)}}"#
      )
      #expect(response.status.code == 422, "\(field): \(value)")
      #expect(
        try response.json["error"]?.string?.contains(field) == true,
        "\(field): \(value) → \(response.text)"
      )
    }
    #expect(server.engine.requests.isEmpty)
  }

  @Test(arguments: [
    (#"{}"#, "`inputs` must be present"), (#"{"inputs":5}"#, "`inputs` must be a string"),
    (#"{"inputs":null}"#, "`inputs` must be a string"), (#"[]"#, "`body` must be an object"),
    (#"{"inputs":"x","parameters":[]}"#, "`parameters` must be an object"),
    (
      #"{"inputs":"x","parameters":{"stop":["a",5]}}"#, "`parameters.stop[1]` must be a string"
    ),
    (#"{"inputs":"x","parameters":{"stop":"a"}}"#, "`parameters.stop` must be an array"),
    (#"{"inputs":"x","parameters":{"do_sample":1}}"#, "`parameters.do_sample` must be a boolean"),
    (#"{"inputs":"x","parameters":{"top_k":"a"}}"#, "`parameters.top_k` must be an integer"),
    (#"{"inputs":""}"#, "`inputs` cannot be empty"),
  ])
  func wrongShapesNameTheField(_ body: String, _ text: String) async throws {
    let response = try await TestServer().post("/generate", body)
    #expect(response.status.code == 422)
    #expect(try response.json["error"]?.string == "Input validation error: \(text)")
  }

  @Test func manyImagesAreRefusedBeforeTheFirstIsLookedAt() async throws {
    let server = TestServer()
    let markdown = String(repeating: "![](data:broken)", count: 10_000)
    let generate = try await server.post("/generate", #"{"inputs":"\#(markdown)"}"#)
    #expect(generate.status.code == 422)
    #expect(
      try generate.json["error"]?.string
        == "Input validation error: the prompt has 10000 images; at most 32 are allowed"
    )
    let part = #"{"type":"image_url","image_url":{"url":"data:broken"}}"#
    let parts = Array(repeating: part, count: 33).joined(separator: ",")
    let chat = try await server.post(
      "/v1/chat/completions",
      #"{"messages":[{"role":"user","content":[\#(parts)]}]}"#
    )
    #expect(chat.status.code == 422)
    #expect(try chat.json["error"]?.string?.contains("33 images") == true)
    #expect(server.engine.requests.isEmpty)
  }

  @Test(arguments: [
    ("file:///etc/passwd", "invalid image content: only data: URIs"),
    ("data:image/png;base64,****", "base64 encoding is invalid: "),
    ("http://127.0.0.1/a.png", "Could not fetch image: this server does not fetch images"),
    ("http://user@host/a.png", "Could not fetch image: the address is refused"),
  ])
  func badImagesAreTold(_ address: String, _ text: String) async throws {
    let server = TestServer()
    let generate = try await server.post("/generate", #"{"inputs":"![](\#(address))"}"#)
    let chat = try await server.post(
      "/v1/chat/completions",
      """
      {"messages":[{"role":"user","content":[
        {"type":"image_url","image_url":{"url":"\(address)"}}]}]}
      """
    )
    for response in [generate, chat] {
      #expect(response.status.code == 422)
      #expect(
        try response.json["error"]?.string?.hasPrefix("Input validation error: \(text)") == true,
        "\(response.text)"
      )
    }
    #expect(server.engine.requests.isEmpty)
  }

  @Test func theQueueIsBounded() async throws {
    var options = ServerOptions()
    options.maxConcurrentRequests = 2
    var script = ScriptedEngine.Script()
    script.delay = .milliseconds(200)
    let server = TestServer(script, options: options)
    let statuses = try await server.run { client in
      try await withThrowingTaskGroup(of: Int.self) { group in
        for _ in 0..<8 {
          group.addTask {
            try await client.execute(
              uri: "/generate",
              method: .post,
              headers: [.contentType: "application/json"],
              body: ByteBuffer(string: #"{"inputs":"x"}"#)
            ).status.code
          }
        }
        var statuses: [Int] = []
        for try await status in group { statuses.append(status) }
        // Places are given back: the next request is served.
        let later = try await client.execute(
          uri: "/generate",
          method: .post,
          headers: [.contentType: "application/json"],
          body: ByteBuffer(string: #"{"inputs":"x"}"#)
        )
        #expect(later.status == .ok)
        return statuses
      }
    }
    #expect(statuses.filter { $0 == 200 }.count == 2)
    #expect(statuses.filter { $0 == 429 }.count == 6)
  }

  @Test func requestsHaveATimeLimit() async throws {
    var options = ServerOptions()
    options.requestTimeout = .milliseconds(100)
    var script = ScriptedEngine.Script()
    script.isEndless = true
    script.delay = .milliseconds(10)
    let server = TestServer(script, options: options)
    let response = try await server.post("/generate", #"{"inputs":"x"}"#)
    #expect(response.status == .gatewayTimeout)
    #expect(server.engine.cancellations == 1)
    let stream = try await server.post("/generate_stream", #"{"inputs":"x"}"#)
    #expect(try stream.jsonEvents.last?["error_type"]?.string == "generation")
    #expect(server.engine.cancellations == 2)
  }
}
