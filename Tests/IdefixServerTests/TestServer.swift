// The server around a scripted engine, asked through its router or over a real socket.

import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Idefix
import IdefixServer
import Logging
import NIOCore

/// A server to ask.
struct TestServer: Sendable {
  let engine: ScriptedEngine
  var options = ServerOptions()
  var fetcher: ImageFetcher?

  init(_ script: ScriptedEngine.Script = .init(), options: ServerOptions = ServerOptions()) {
    engine = ScriptedEngine(script)
    self.options = options
    self.options.port = 0
  }

  /// Runs `body` with a client of the server.
  func run<Value>(
    _ kind: TestingSetup = .router,
    _ body: @Sendable (any TestClientProtocol) async throws -> Value
  ) async throws -> Value {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let server = InferenceServer(
      engine: engine,
      options: options,
      logger: logger,
      fetcher: fetcher ?? ImageFetcher(options: options)
    )
    return try await server.application().test(kind, body)
  }

  /// Posts a JSON body.
  func post(
    _ path: String,
    _ body: String,
    headers: HTTPFields = [:]
  ) async throws -> TestResponse {
    var headers = headers
    if headers[.contentType] == nil { headers[.contentType] = "application/json" }
    let fields = headers
    return try await run { client in
      try await client.execute(
        uri: path,
        method: .post,
        headers: fields,
        body: ByteBuffer(string: body)
      )
    }
  }

  /// Gets a path.
  func get(_ path: String, headers: HTTPFields = [:]) async throws -> TestResponse {
    try await run { try await $0.execute(uri: path, method: .get, headers: headers) }
  }
}

extension TestResponse {
  /// The body as JSON.
  var json: JSON { get throws { try JSON(body.readableBytesView) } }

  /// The body as text.
  var text: String { String(buffer: body) }

  /// Payloads of the stream's `data:` lines.
  var events: [String] {
    text.split(separator: "\n").filter { $0.hasPrefix("data:") }
      .map { $0.dropFirst(5).trimmingCharacters(in: .whitespaces) }
  }

  /// Payloads of the stream's `data:` lines as JSON; `[DONE]` left out.
  var jsonEvents: [JSON] {
    get throws { try events.filter { $0 != "[DONE]" }.map { try JSON($0.utf8) } }
  }

  /// Payloads of the stream's comments.
  var comments: [String] {
    text.split(separator: "\n").filter { $0.hasPrefix(":") }.map { String($0.dropFirst()) }
  }
}

/// A picture of one grey pixel as a data URI.
let pixelURI =
  "data:image/png;base64,"
  + "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
