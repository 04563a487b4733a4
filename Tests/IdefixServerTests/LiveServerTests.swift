// What only a real socket shows: clients that go away, clients that are slow, heads that are too large,
// images fetched from a loopback server, and a shutdown that lets answers finish.

import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdTesting
import Idefix
import IdefixServer
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization
import Testing

/// A connection that sends bytes as they are and collects what comes back.
private struct RawClient: Sendable {
  private final class Collector: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer

    let received = Mutex("")

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
      let text = String(buffer: unwrapInboundIn(data))
      received.withLock { $0 += text }
    }
  }

  let channel: any Channel
  private let collector: Collector

  init(port: Int) async throws {
    let collector = Collector()
    // A small window, so that a client which does not read is noticed after few bytes.
    channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
      .channelOption(ChannelOptions.socketOption(.so_rcvbuf), value: 8192)
      .channelInitializer { channel in channel.pipeline.addHandler(collector) }
      .connect(host: "127.0.0.1", port: port).get()
    self.collector = collector
  }

  var received: String { collector.received.withLock { $0 } }

  func send(_ text: String) async throws {
    try await channel.writeAndFlush(ByteBuffer(string: text))
  }

  func post(_ path: String, _ body: String) async throws {
    try await send(
      "POST \(path) HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        + "content-length: \(body.utf8.count)\r\n\r\n\(body)"
    )
  }
}

/// Waits until something holds, at most five seconds.
private func eventually(_ condition: @Sendable () async throws -> Bool) async throws -> Bool {
  let end = ContinuousClock.now + .seconds(5)
  while ContinuousClock.now < end {
    if try await condition() { return true }
    try await Task.sleep(for: .milliseconds(5))
  }
  return false
}

@Suite(.serialized) struct LiveServerTests {
  private static func endless() -> ScriptedEngine.Script {
    var script = ScriptedEngine.Script()
    script.isEndless = true
    script.delay = .milliseconds(2)
    return script
  }

  @Test(arguments: ["/generate", "/generate_stream", "/v1/chat/completions", "/v1/completions"])
  func aClientThatGoesAwayIsCancelled(_ path: String) async throws {
    let server = TestServer(Self.endless())
    let rounds = 25
    try await server.run(.live) { client in
      let port = try #require(client.port)
      let body =
        path.contains("chat")
        ? #"{"messages":[{"role":"user","content":"x"}],"stream":true}"#
        : #"{"inputs":"x","prompt":"x"}"#
      for round in 1...rounds {
        let client = try await RawClient(port: port)
        try await client.post(path, body)
        let started = try await eventually { server.engine.requests.count == round }
        #expect(started)
        try await client.channel.close()
        let left = ContinuousClock.now
        let cancelled = try await eventually { server.engine.cancellations == round }
        #expect(cancelled)
        #expect(ContinuousClock.now - left < .seconds(1))
      }
      // Others are not disturbed.
      let health = try await client.execute(uri: "/health", method: .get)
      #expect(health.status == .ok)
    }
  }

  @Test func connectionsStayOpenBetweenRequests() async throws {
    try await TestServer().run(.live) { client in
      let port = try #require(client.port)
      let raw = try await RawClient(port: port)
      for round in 1...3 {
        try await raw.post("/generate", #"{"inputs":"x"}"#)
        let answered = try await eventually {
          raw.received.components(separatedBy: "generated_text").count == round + 1
        }
        #expect(answered)
      }
      try await raw.channel.close()
    }
  }

  @Test func clientsThatWaitAreToldToSend() async throws {
    var options = ServerOptions()
    options.maxBodyBytes = 1000
    try await TestServer(options: options).run(.live) { client in
      let port = try #require(client.port)
      for (length, answer) in [(14, "100 Continue"), (1001, "413 ")] {
        let raw = try await RawClient(port: port)
        try await raw.send(
          "POST /generate HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
            + "content-length: \(length)\r\nexpect: 100-continue\r\n\r\n"
        )
        let answered = try await eventually { raw.received.hasPrefix("HTTP/1.1 \(answer)") }
        #expect(answered, "\(raw.received)")
        guard length == 14 else { continue }
        try await raw.send(#"{"inputs":"x"}"#)
        let generated = try await eventually { raw.received.contains("generated_text") }
        #expect(generated, "\(raw.received)")
      }
    }
  }

  @Test func slowHeadsAndBodiesAreCutOff() async throws {
    var options = ServerOptions()
    options.headerDeadline = .milliseconds(300)
    options.bodyDeadline = .milliseconds(300)
    options.idleDeadline = .milliseconds(300)
    let server = TestServer(options: options)
    try await server.run(.live) { client in
      let port = try #require(client.port)
      let silent = try await RawClient(port: port)
      let head = try await RawClient(port: port)
      let body = try await RawClient(port: port)
      let idle = try await RawClient(port: port)
      try await body.send(
        "POST /generate HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n"
      )
      try await idle.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
      let dripping = Task {
        for byte in "GET /health HTTP/1.1\r\nx: \(String(repeating: "y", count: 200))" {
          try await head.send(String(byte))
          try? await body.send("1")
          try await Task.sleep(for: .milliseconds(20))
        }
      }
      for slow in [silent, head, body, idle] {
        let closed = try await eventually { !slow.channel.isActive }
        #expect(closed)
      }
      dripping.cancel()
      #expect(idle.received.hasPrefix("HTTP/1.1 200"))
      #expect(server.engine.requests.isEmpty)
    }
  }

  @Test func hugeHeadsAreRefused() async throws {
    try await TestServer().run(.live) { client in
      let raw = try await RawClient(port: try #require(client.port))
      try await raw.send(
        "GET /health HTTP/1.1\r\nhost: x\r\nx: \(String(repeating: "y", count: 200_000))\r\n\r\n"
      )
      let answered = try await eventually { raw.received.hasPrefix("HTTP/1.1 431") }
      #expect(answered, "\(raw.received)")
      let garbage = try await RawClient(port: try #require(client.port))
      try await garbage.send("\u{16}\u{3}\u{1} no http\r\n\r\n")
      let refused = try await eventually { garbage.received.hasPrefix("HTTP/1.1 400") }
      #expect(refused, "\(garbage.received)")
    }
  }

  @Test func aClientThatDoesNotReadIsCutOff() async throws {
    var script = Self.endless()
    script.pieces = [String(repeating: "long ", count: 10_000)]
    var options = ServerOptions()
    options.writeDeadline = .milliseconds(300)
    let server = TestServer(script, options: options)
    try await server.run(.live) { client in
      let raw = try await RawClient(port: try #require(client.port))
      try await raw.channel.setOption(ChannelOptions.autoRead, value: false).get()
      try await raw.post("/generate_stream", #"{"inputs":"x"}"#)
      let cancelled = try await eventually { server.engine.cancellations == 1 }
      #expect(cancelled)
      try? await raw.channel.close()
    }
  }

  @Test func streamsSendKeepAliveComments() async throws {
    var script = ScriptedEngine.Script()
    script.delay = .milliseconds(150)
    var options = ServerOptions()
    options.keepAliveInterval = .milliseconds(50)
    let response = try await TestServer(script, options: options).run(.live) { client in
      try await client.execute(
        uri: "/generate_stream",
        method: .post,
        headers: [.contentType: "application/json"],
        body: ByteBuffer(string: #"{"inputs":"x"}"#)
      )
    }
    #expect(response.comments.count >= 3)
    #expect(response.events.count == 3)
  }

  @Test func imagesAreFetchedFromAllowedHosts() async throws {
    let router = Router()
    router.get("/a.png") { _, _ in
      Response(status: .ok, body: .init(byteBuffer: ByteBuffer(bytes: [1, 2, 3])))
    }
    router.get("/moved") { _, _ in Response(status: .found, headers: [.location: "/a.png"]) }
    router.get("/full.png") { _, _ in
      Response(status: .ok, body: .init(byteBuffer: ByteBuffer(repeating: 7, count: 4000)))
    }
    router.get("/large") { _, _ in
      Response(status: .ok, body: .init(byteBuffer: ByteBuffer(repeating: 7, count: 5000)))
    }
    router.get("/endless") { _, _ in
      Response(
        status: .ok,
        body: .init { writer in
          while true { try await writer.write(ByteBuffer(repeating: 7, count: 512)) }
        }
      )
    }
    router.get("/gone") { _, _ in Response(status: .notFound) }
    // A thousand zeros, packed; what is said to be packed is not unpacked, so it cannot become large.
    let packed: [UInt8] = [
      31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 99, 96, 24, 5, 163, 96, 20,
      12, 119, 0, 0, 128, 23, 11, 6, 232, 3, 0, 0,
    ]
    router.get("/packed") { _, _ in
      Response(
        status: .ok,
        headers: [.contentEncoding: "gzip"],
        body: .init(byteBuffer: ByteBuffer(bytes: packed))
      )
    }
    var logger = Logger(label: "images")
    logger.logLevel = .critical
    let host = Application(
      router: router,
      configuration: .init(address: .hostname("127.0.0.1", port: 0)),
      logger: logger
    )
    try await host.test(.live) { images in
      let port = try #require(images.port)
      var options = ServerOptions()
      options.imageHosts = [ImageHostRule("127.0.0.1:\(port)")].compactMap { $0 }
      options.maxFetchedBytes = 4096
      let server = TestServer(options: options)
      func ask(_ path: String) async throws -> TestResponse {
        try await server.post(
          "/generate",
          #"{"inputs":"![](http://127.0.0.1:\#(port)\#(path))"}"#
        )
      }
      for path in ["/a.png", "/moved"] {
        #expect(try await ask(path).status == .ok)
        #expect(server.engine.requests.last?.prompt.images == [.encoded([1, 2, 3])])
      }
      #expect(try await ask("/packed").status == .ok)
      #expect(server.engine.requests.last?.prompt.images == [.encoded(packed)])
      let refusals = [
        ("/large", "Image size 5000 bytes exceeds maximum allowed size of 4096 bytes"),
        ("/endless", "exceeds maximum allowed size of 4096 bytes"),
        ("/gone", "Could not fetch image: the host answered 404"),
      ]
      for (path, text) in refusals {
        let response = try await ask(path)
        #expect(response.status.code == 422)
        #expect(try response.json["error"]?.string?.hasSuffix(text) == true, "\(response.text)")
      }
      #expect(server.engine.requests.count == 3)
      // What is fetched counts as bytes held.
      options.maxBufferedBytes = 4200
      let narrow = TestServer(options: options)
      let image = "![](http://127.0.0.1:\(port)/full.png)"
      let statuses = [image, image + image].map { #"{"inputs":"\#($0)"}"# }
      for (body, status) in zip(statuses, [200, 429]) {
        #expect(try await narrow.post("/generate", body).status.code == status)
      }
    }
  }

  @Test func shutdownLetsAnswersFinish() async throws {
    var script = ScriptedEngine.Script()
    script.pieces = (0..<20).map { " \($0)" }
    script.delay = .milliseconds(25)
    try await serving(ScriptedEngine(script)) { port, group in
      let raw = try await RawClient(port: port)
      try await raw.post("/generate_stream", #"{"inputs":"x"}"#)
      let began = try await eventually { raw.received.contains("data:") }
      #expect(began)
      await group.triggerGracefulShutdown()
      let ended = try await eventually { !raw.channel.isActive }
      #expect(ended)
      #expect(raw.received.contains(#""generated_text":" 0 1"#), "the last event came")
      await #expect(throws: (any Error).self) { try await RawClient(port: port) }
    }
  }

  @Test func connectionsBeyondTheLimitWait() async throws {
    var options = ServerOptions()
    options.maxConnections = 1
    try await serving(ScriptedEngine(.init()), options) { port, _ in
      let question = "GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
      let first = try await RawClient(port: port)
      try await first.send(question)
      let isOpen = try await eventually { first.received.contains(" 200 ") }
      #expect(isOpen)
      // The system completes the connection, but the server does not take it on: what is sent stays unread
      // while the first client is answered again and again.
      let second = try await RawClient(port: port)
      try await second.send(question)
      for round in 2...20 {
        try await first.send(question)
        let answered = try await eventually {
          first.received.components(separatedBy: " 200 ").count == round + 1
        }
        #expect(answered)
      }
      #expect(second.received.isEmpty)
      try await first.channel.close()
      let answered = try await eventually { second.received.contains(" 200 ") }
      #expect(answered)
      try await second.channel.close()
    }
  }

  /// Runs `body` with the port of a server that nobody else connects to, and its service group.
  private func serving(
    _ engine: ScriptedEngine,
    _ options: ServerOptions = ServerOptions(),
    _ body: (Int, ServiceGroup) async throws -> Void
  ) async throws {
    var options = options
    options.port = 0
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let server = InferenceServer(
      engine: engine,
      options: options,
      logger: logger,
      fetcher: ImageFetcher(options: options)
    )
    let (ports, source) = AsyncStream<Int>.makeStream()
    let application = server.application { source.yield($0) }
    let group = ServiceGroup(services: [application], logger: logger)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      tasks.addTask { try await group.run() }
      try await body(try #require(await ports.first { _ in true }), group)
      await group.triggerGracefulShutdown()
      try await tasks.waitForAll()
    }
  }
}
