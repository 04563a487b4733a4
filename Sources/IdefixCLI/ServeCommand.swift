// `idefix serve`: settings from flags, environment and file put together, the engine loaded, the server run.

import ArgumentParser
import CMalloc
import Foundation
import Idefix
import IdefixServer

/// Serves a model over HTTP.
struct ServeCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "serve",
    abstract: "Serve a model over HTTP, with a web page.",
    discussion: """
      Speaks the dialects of text-generation-inference and of OpenAI; the page is at /ui. Without
      --api-key-file every route is open, so the server listens on this machine only unless told.
      Images are fetched from the web only from hosts named with --allow-url-host: a name, *.NAME,
      an address with its port, or * for any public host.

      Every long option can also stand in the environment (IDEFIX_MAX_CONCURRENT=16) or in the JSON
      file given with --config ({"max-concurrent": 16}). Flags win over the environment, and that
      over the file; --print-config shows the outcome.

      Example: idefix serve --port 8080 --api-key-file keys.txt --memory 8G
      """
  )

  @Argument(
    help: "A model file (.idfx; default: $IDEFIX_MODEL or the demo model).",
    completion: .file(extensions: ["idfx"])
  )
  var model: String?

  @OptionGroup var arguments: ModelArguments

  @Option(help: "Address to listen on (default: 127.0.0.1).")
  var host: String?

  @Option(help: "Port to listen on, 0 for any that is free (default: 8080).")
  var port: Int?

  @Option(help: "File with one accepted API key a line.")
  var apiKeyFile: String?

  @Option(help: "Requests taken on at once; more are answered 429 (default: 128).")
  var maxConcurrent: Int?

  @Option(help: "Sequences computed together (default: 16).")
  var maxSequences: Int?

  @Option(help: "Images in one request (default: 32).")
  var maxImages: Int?

  @Option(help: "Pixels of one image (default: 67108864).")
  var maxImagePixels: Int?

  @Option(help: "Size of one request body (default: 32M).")
  var maxBody: String?

  @Option(help: "Prompts of one /v1/completions request (default: 4).")
  var maxClientBatch: Int?

  @Option(help: "Seconds one request may take (default: no limit).")
  var requestTimeout: Int?

  @Option(help: "Host that images may be fetched from; may be repeated.")
  var allowURLHost: [String] = []

  @Option(
    help: ArgumentHelp(
      "A prompt or messages that requests begin with: its state is computed at the start and kept in "
        + "the file of --save-prefix.",
      valueName: "file"
    ),
    completion: .file(extensions: ["json"])
  )
  var prefix: String?

  @OptionGroup(title: "Shared prefix") var prefixArguments: PrefixArguments

  @Flag(help: "Share cached prefixes and images between API keys.")
  var shareCache = false

  @Flag(help: "Break up \"\\nUser:\" and \"\\nAssistant:\" inside chat messages.")
  var escapeRoles = false

  @Option(help: "Log lines as text or json (default: text).")
  var logFormat: String?

  @Option(help: "Least level logged: debug, info, warning or error (default: info).")
  var logLevel: String?

  @Option(help: "JSON file with settings.")
  var config: String?

  @Flag(help: "Print the settings in force as JSON, and end.")
  var printConfig = false

  func validate() throws {
    guard (prefix == nil) == (prefixArguments.savePrefix == nil) else {
      throw ValidationError("--prefix and --save-prefix go together.")
    }
  }

  func execute() async throws {
    Self.limitArenas()
    let settings = try ServeSettings(
      flags: flags,
      environment: ProcessInfo.processInfo.environment,
      file: config
    )
    let (server, engine) = try options(settings)
    if printConfig {
      try JSONOutput.write(
        inForce(
          server,
          engine,
          keyFile: settings.text("api-key-file"),
          packs: settings.list("prefix-pack")
        )
      )
      return
    }
    Self.raiseFileLimit()
    var shared: NamedPrompt?
    if let prefix { shared = try await PromptArguments.read(messages: prefix) }
    let loaded = try await arguments.loadEngine(model, options: engine)
    var prefixes = prefixArguments
    prefixes.packs = settings.list("prefix-pack")
    if let shared, let savePrefix = prefixes.savePrefix {
      try await prefixes.save(shared, of: loaded, quiet: arguments.quiet)
      prefixes.packs.append(savePrefix)
    }
    try await prefixes.load(
      into: loaded,
      tenants: engine.sharesCacheAcrossTenants ? [""] : server.apiKeys.tenants
    )
    if server.apiKeys.isEmpty, !["127.0.0.1", "localhost", "::1"].contains(server.host) {
      Terminal.writeError("warning: anybody who reaches \(server.host) can use this server\n")
    }
    let quiet = arguments.quiet
    do {
      try await InferenceServer(engine: loaded, options: server).run { port in
        // The log has a line of its own for machines that read it.
        guard !quiet, server.logFormat == .text else { return }
        let host = server.host.contains(":") ? "[\(server.host)]" : server.host
        Terminal.writeError("Serving \(loaded.info.name) at http://\(host):\(port)/ui\n")
      }
    } catch let error as ServerStartError {
      throw CommandFailure(.unavailable, error.description)
    }
  }

  /// Has threads share two heaps of the C library: of many, each grows by its own worst moment, and requests pass
  /// from thread to thread.
  private static func limitArenas() { _ = mallopt(M_ARENA_MAX, 2) }

  /// Lifts the limit on open files to what the system allows: every connection is one.
  private static func raiseFileLimit() {
    let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var limit = rlimit()
    guard getrlimit(files, &limit) == 0 else { return }
    limit.rlim_cur = limit.rlim_max
    // Where this is not allowed, connections beyond the limit wait.
    _ = setrlimit(files, &limit)
  }

  /// Every setting with the value it has in the end.
  private func inForce(
    _ server: ServerOptions,
    _ engine: EngineOptions,
    keyFile: String?,
    packs: [String]
  ) -> [String: ServeSettings.Value] {
    let texts = [
      "host": server.host,
      "port": "\(server.port)",
      "api-key-file": keyFile ?? "",
      "max-concurrent": "\(server.maxConcurrentRequests)",
      "max-sequences": "\(engine.maxSequences)",
      "max-images": "\(server.maxImages)",
      "max-image-pixels": "\(engine.maxImagePixels)",
      "max-body": "\(server.maxBodyBytes)",
      "max-client-batch": "\(server.maxClientBatchSize)",
      "request-timeout": server.requestTimeout.map { "\($0.components.seconds)" } ?? "",
      "allow-url-host": server.imageHosts.map(\.description).joined(separator: ","),
      "share-cache": "\(engine.sharesCacheAcrossTenants)",
      "escape-roles": "\(server.escapesRoles)",
      "log-format": server.logFormat.rawValue,
      "log-level": server.logLevel.rawValue,
    ]
    var values = texts.mapValues(ServeSettings.Value.one)
    values["prefix-pack"] = .many(packs)
    return values
  }

  /// What was given on the command line, by setting.
  private var flags: [String: ServeSettings.Value] {
    var flags: [String: String] = [:]
    flags["host"] = host
    flags["port"] = port.map(String.init)
    flags["api-key-file"] = apiKeyFile
    flags["max-concurrent"] = maxConcurrent.map(String.init)
    flags["max-sequences"] = maxSequences.map(String.init)
    flags["max-images"] = maxImages.map(String.init)
    flags["max-image-pixels"] = maxImagePixels.map(String.init)
    flags["max-body"] = maxBody
    flags["max-client-batch"] = maxClientBatch.map(String.init)
    flags["request-timeout"] = requestTimeout.map(String.init)
    flags["allow-url-host"] = allowURLHost.isEmpty ? nil : allowURLHost.joined(separator: ",")
    flags["share-cache"] = shareCache ? "true" : nil
    flags["escape-roles"] = escapeRoles ? "true" : nil
    flags["log-format"] = logFormat
    flags["log-level"] = logLevel
    var values = flags.mapValues(ServeSettings.Value.one)
    // A path may hold commas.
    if !prefixArguments.packs.isEmpty { values["prefix-pack"] = .many(prefixArguments.packs) }
    return values
  }

  private func options(
    _ settings: ServeSettings
  ) throws -> (server: ServerOptions, engine: EngineOptions) {
    var server = ServerOptions()
    server.host = settings.text("host") ?? server.host
    server.port = try settings.integer("port", in: 0...65535) ?? server.port
    if let path = settings.text("api-key-file") {
      do {
        server.apiKeys = try APIKeys(contentsOf: path)
      } catch let error as APIKeyError {
        throw CommandFailure(.noInput, error.description)
      }
    }
    server.maxConcurrentRequests =
      try settings.integer("max-concurrent", in: 1...65536) ?? server.maxConcurrentRequests
    server.maxImages = try settings.integer("max-images", in: 0...1024) ?? server.maxImages
    server.maxBodyBytes = try settings.byteCount("max-body") ?? server.maxBodyBytes
    server.maxBufferedBytes = max(server.maxBufferedBytes, server.maxBodyBytes)
    server.maxClientBatchSize =
      try settings.integer("max-client-batch", in: 1...1024) ?? server.maxClientBatchSize
    server.requestTimeout = try settings.integer("request-timeout", in: 1...86400).map {
      .seconds($0)
    }
    server.imageHosts = try settings.list("allow-url-host").map { text in
      guard let rule = ImageHostRule(text) else {
        throw CommandFailure(.usage, "allow-url-host: \(text) is not a host.")
      }
      return rule
    }
    server.escapesRoles = try settings.flag("escape-roles")
    server.logFormat = try settings.choice("log-format") ?? server.logFormat
    server.logLevel = try settings.choice("log-level") ?? server.logLevel

    var engine = arguments.engineOptions
    engine.maxSequences =
      try settings.integer("max-sequences", in: 1...1024) ?? engine.maxSequences
    engine.maxWaiting = server.maxConcurrentRequests
    engine.maxImages = server.maxImages
    engine.maxImagePixels =
      try settings.integer("max-image-pixels", in: 1...1 << 32) ?? engine.maxImagePixels
    engine.sharesCacheAcrossTenants = try settings.flag("share-cache")
    return (server, engine)
  }
}
