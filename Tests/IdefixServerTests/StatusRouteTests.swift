// Routes that tell about the server and about tokens, the page, and who may use them.

import Foundation
import HTTPTypes
import Idefix
import IdefixServer
import Logging
import Testing

@Suite struct StatusRouteTests {
  @Test(arguments: ["/health", "/ping", "/"])
  func healthIsEmpty(_ path: String) async throws {
    let response = try await TestServer().get(path)
    #expect(response.status == .ok)
    #expect(response.body.readableBytes == 0)
  }

  @Test(arguments: ["/health", "/info"])
  func headsAreAnswered(_ path: String) async throws {
    let response = try await TestServer().run { client in
      try await client.execute(uri: path, method: .head)
    }
    #expect(response.status == .ok)
    #expect(response.body.readableBytes == 0)
  }

  @Test func infoHasWhatClientsLookFor() async throws {
    let info = try await TestServer().get("/info").json
    #expect(info["model_id"]?.string == "micro")
    #expect(info["max_total_tokens"]?.number == 128)
    #expect(info["max_input_tokens"]?.number == 127)
    #expect(info["router"]?.string == "text-generation-router")
    #expect(info["docker_label"]?.isNull == true)
  }

  @Test func modelsAreListed() async throws {
    let models = try await TestServer().get("/v1/models").json
    #expect(models["data"]?[0]?["id"]?.string == "micro")
  }

  @Test func tokensHavePlaces() async throws {
    let response = try await TestServer().post(
      "/tokenize",
      #"{"inputs":"ab ![](\#(pixelURI)) cdé ab"}"#
    )
    let tokens = try #require(try response.json.array)
    #expect(tokens.map { $0["text"]?.string } == ["<s>", " ab", "<image>", " cdé", " ab"])
    #expect(tokens[0]["start"]?.number == 0 && tokens[0]["stop"]?.number == 0)
    #expect(tokens[1]["start"]?.number == 0 && tokens[1]["stop"]?.number == 2)
  }

  @Test func chatTokenizeShowsTheTemplate() async throws {
    let response = try await TestServer().post(
      "/chat_tokenize",
      #"{"messages":[{"role":"user","content":"x"}]}"#
    )
    #expect(try response.json["templated_text"]?.string == "user:")
    #expect(try response.json["tokenize_response"]?[1]?["stop"]?.number == 5)
  }

  @Test func metricsAreWellFormed() async throws {
    let server = TestServer()
    let text = try await server.run { client in
      for _ in 0..<2 {
        _ = try await client.execute(
          uri: "/generate",
          method: .post,
          headers: [.contentType: "application/json"],
          body: .init(string: #"{"inputs":"x","parameters":{"max_new_tokens":4}}"#)
        )
      }
      _ = try await client.execute(
        uri: "/generate",
        method: .post,
        headers: [.contentType: "application/json"],
        body: .init(string: #"{"inputs":""}"#)
      )
      return try await client.execute(uri: "/metrics", method: .get).text
    }
    let lines = text.split(separator: "\n")
    #expect(lines.contains("tgi_request_count 3"))
    #expect(lines.contains("tgi_request_success 2"))
    #expect(lines.contains(#"tgi_request_failure{err="validation"} 1"#))
    #expect(lines.contains("tgi_request_generated_tokens_count 2"))
    #expect(lines.contains("tgi_batch_next_size_count 7"))
    let answered = #"idefix_http_requests{method="POST",route="/generate",status="#
    #expect(lines.contains(Substring(answered + #""200"} 2"#)))
    #expect(lines.contains(Substring(answered + #""422"} 1"#)))
    #expect(lines.contains("tgi_request_generated_tokens_sum 6.0"))
    #expect(lines.contains(#"tgi_request_max_new_tokens_bucket{le="4.0"} 2"#))
    #expect(lines.contains("tgi_queue_size 2"))
    #expect(lines.contains("tgi_batch_inference_count 7"))
    // Every sample line is `name{labels} number`, and buckets never fall.
    var last: (name: Substring, value: Double) = ("", 0)
    for line in lines where !line.hasPrefix("#") {
      let fields = line.split(separator: " ")
      let value = try #require(fields.count == 2 ? Double(fields[1]) : nil, "\(line)")
      let name = fields[0].prefix { $0 != "{" }
      if name.hasSuffix("_bucket"), name == last.name { #expect(value >= last.value) }
      last = (name, value)
    }
  }

  @Test func thePageLoadsNothingElse() async throws {
    let response = try await TestServer().get("/ui")
    #expect(response.headers[.contentType] == "text/html; charset=utf-8")
    let policy = try #require(response.headers[.contentSecurityPolicy])
    #expect(policy.contains("default-src 'none'"))
    #expect(policy.contains("script-src 'sha256-"))
    #expect(!response.text.contains("/*SCRIPT*/") && !response.text.contains("/*STYLE*/"))
    #expect(!response.text.contains("src=\"http") && !response.text.contains("@import"))
    let redirect = try await TestServer().get("/", headers: [.accept: "text/html,*/*"])
    #expect(redirect.status == .seeOther)
    #expect(redirect.headers[.location] == "/ui")
  }

  @Test func unknownRoutesAreJSON() async throws {
    let response = try await TestServer().get("/nothing/../here")
    #expect(response.status == .notFound)
    #expect(try response.json["error_type"]?.string == "not_found")
  }

  @Test func browsersOfAnyOriginMayAsk() async throws {
    let server = TestServer()
    let response = try await server.run { client in
      try await client.execute(
        uri: "/generate",
        method: .options,
        headers: [.origin: "http://a.example", .accessControlRequestMethod: "POST"]
      )
    }
    #expect(response.headers[.accessControlAllowOrigin] == "*")
    #expect(response.headers[.accessControlAllowCredentials] == nil)
  }

  @Test func logLinesAreJSON() throws {
    var handler = JSONLogHandler(label: "test")
    handler[metadataKey: "id"] = "7"
    let event = LogEvent(
      level: .info,
      message: "a \"quoted\"\nline",
      metadata: ["ms": .stringConvertible(3), "route": "4"],
      source: "test",
      file: "f",
      function: "g",
      line: 1
    )
    let line = handler.line(for: event)
    #expect(line.hasSuffix("}\n") && line.split(separator: "\n").count == 1)
    let json = try JSON(line.utf8)
    #expect(json["message"]?.string == "a \"quoted\"\nline")
    #expect(json["ms"]?.number == 3)
    #expect(json["route"]?.string == "4")
    #expect(json["id"]?.string == "7")
    #expect(json["level"]?.string == "info")
  }
}

@Suite struct KeyTests {
  static let routes: [(HTTPRequest.Method, String)] = [
    (.get, "/"), (.get, "/ui"), (.get, "/info"), (.get, "/metrics"), (.get, "/v1/models"),
    (.post, "/"), (.post, "/generate"), (.post, "/generate_stream"), (.post, "/tokenize"),
    (.post, "/chat_tokenize"), (.post, "/v1/chat/completions"), (.post, "/v1/completions"),
    (.post, "/invocations"), (.post, "/vertex"), (.head, "/info"),
    (.get, "/nothing"), (.get, "/health/"), (.get, "//health"),
  ]

  private func server() -> TestServer {
    var options = ServerOptions()
    options.apiKeys = APIKeys(keys: ["first-key", "second-key"])
    return TestServer(options: options)
  }

  @Test(arguments: routes)
  func everyRouteAsksForAKey(_ method: HTTPRequest.Method, _ path: String) async throws {
    let server = server()
    let wrong: [String?] = [
      nil, "Bearer wrong", "Bearer ", "Bearer first-key-and-more", "first-key", "Bearer first-ke",
      "Basic " + Data("user:wrong".utf8).base64EncodedString(), "Basic !",
    ]
    try await server.run { client in
      for header in wrong {
        var headers: HTTPFields = [.contentType: "application/json"]
        headers[.authorization] = header
        let response = try await client.execute(
          uri: path,
          method: method,
          headers: headers,
          body: .init(string: #"{"inputs":"x"}"#)
        )
        #expect(response.status == .unauthorized, "\(method) \(path) with \(header ?? "nothing")")
      }
    }
    #expect(server.engine.requests.isEmpty)
  }

  @Test(arguments: ["/health", "/ping"])
  func healthIsOpen(_ path: String) async throws {
    #expect(try await server().get(path).status == .ok)
  }

  @Test func keysAreTenants() async throws {
    let server = server()
    let headers = [
      "Bearer first-key", "bearer second-key",
      "Basic " + Data("anyone:first-key".utf8).base64EncodedString(),
    ]
    for header in headers {
      let response = try await server.post(
        "/generate",
        #"{"inputs":"x"}"#,
        headers: [.authorization: header]
      )
      #expect(response.status == .ok)
    }
    let tenants = server.engine.requests.map(\.tenant)
    #expect(tenants[0] != tenants[1])
    #expect(tenants[0] == tenants[2])
    #expect(!tenants.contains(""))
    #expect(!tenants[0].contains("first"))
  }

  @Test func keysComeFromAFile() throws {
    let folder = FileManager.default.temporaryDirectory
    let path = folder.appendingPathComponent("idefix-keys-\(UInt64.random(in: 0 ... .max))").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try "# operators\n\n  alpha  \nbeta\r\n".write(toFile: path, atomically: true, encoding: .utf8)
    let keys = try APIKeys(contentsOf: path)
    #expect(keys.tenant(of: "alpha") != nil)
    #expect(keys.tenant(of: "beta") != nil)
    #expect(keys.tenant(of: "# operators") == nil)
    #expect(keys.tenant(of: "") == nil)
    #expect(throws: APIKeyError.unreadable(path: path + "x")) {
      try APIKeys(contentsOf: path + "x")
    }
    try "\n#\n".write(toFile: path, atomically: true, encoding: .utf8)
    #expect(throws: APIKeyError.empty(path: path)) { try APIKeys(contentsOf: path) }
  }
}
