// The HTTP server: routes, middleware and connection rules put together around one engine. Started by
// `idefix serve`; stops on SIGTERM and SIGINT once running answers are complete.

import Foundation
import Hummingbird
import HummingbirdCore
import Idefix
import Logging
import NIOCore
import ServiceLifecycle

/// Serves one engine over HTTP.
public struct InferenceServer: Sendable {
  private let inference: Inference
  private let logger: Logger

  /// A server for `engine`, logging to standard error.
  public init(engine: Engine, options: ServerOptions) {
    var logger = Logger(label: "idefix") { label in
      switch options.logFormat {
      case .text: StreamLogHandler.standardError(label: label)
      case .json: JSONLogHandler(label: label)
      }
    }
    logger.logLevel = Logger.Level(rawValue: options.logLevel.rawValue) ?? .info
    self.init(
      engine: engine,
      options: options,
      logger: logger,
      fetcher: ImageFetcher(options: options)
    )
  }

  package init(
    engine: any GenerationService,
    options: ServerOptions,
    logger: Logger,
    fetcher: ImageFetcher
  ) {
    inference = Inference(engine: engine, options: options, fetcher: fetcher)
    self.logger = logger
  }

  /// Serves until the process is told to stop; `onRunning` gets the port.
  ///
  /// New connections are refused then, and running answers get `drainDeadline` to end.
  public func run(onRunning: @escaping @Sendable (Int) async -> Void = { _ in }) async throws {
    let options = inference.options
    let application = application(onRunning: onRunning)
    var configuration = ServiceGroupConfiguration(
      services: [.init(service: application, successTerminationBehavior: .gracefullyShutdownGroup)],
      gracefulShutdownSignals: [.sigterm, .sigint],
      logger: logger
    )
    configuration.maximumGracefulShutdownDuration = options.drainDeadline
    do {
      try await ServiceGroup(configuration: configuration).run()
    } catch let error as IOError where Self.bindErrors.contains(error.errnoCode) {
      throw ServerStartError.cannotBind(host: options.host, port: options.port)
    }
    await inference.engine.shutDown()
  }

  /// What binding an address fails with.
  private static let bindErrors: Set<CInt> = [EADDRINUSE, EADDRNOTAVAIL, EACCES]

  /// The application, for tests that bring their own client.
  package func application(
    onRunning: @escaping @Sendable (Int) async -> Void = { _ in }
  ) -> some ApplicationProtocol {
    let options = inference.options
    var decoder = HTTP1Channel.Configuration.DecoderConfiguration()
    decoder.maxHeaderFieldSize = 16 << 10
    decoder.maxHeaderListSize = 64 << 10
    decoder.maxHeaderFieldCount = 100
    return Application(
      router: router(),
      server: .http1(
        configuration: .init(
          additionalChannelHandlers: [ConnectionGuard(options: options)],
          httpDecoderConfiguration: decoder
        )
      ),
      configuration: .init(
        address: .hostname(options.host, port: options.port),
        serverName: "idefix",
        availableConnectionsDelegate: .maximum(options.maxConnections, logger: logger)
      ),
      onServerRunning: { channel in await onRunning(channel.localAddress?.port ?? options.port) },
      logger: logger
    )
  }

  private func router() -> Router<RequestScope> {
    let router = Router(context: RequestScope.self, options: .autoGenerateHeadEndpoints)
    router.addMiddleware {
      AccessLog(metrics: inference.metrics)
      CORSMiddleware(
        allowOrigin: .all,
        allowHeaders: [.contentType],
        allowMethods: [.get, .post]
      )
      ErrorResponder(metrics: inference.metrics)
      KeyCheck(keys: inference.options.apiKeys)
    }
    StatusRoutes(inference: inference).add(to: router)
    PageRoutes().add(to: router)
    TGIRoutes(inference: inference).add(to: router)
    ChatRoutes(inference: inference).add(to: router)
    CompletionRoutes(inference: inference).add(to: router)
    TokenizeRoutes(inference: inference).add(to: router)
    InvocationRoutes(inference: inference).add(to: router)
    return router
  }
}

/// Why the server could not start.
public enum ServerStartError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The address is taken, forbidden or not this machine's.
  case cannotBind(host: String, port: Int)

  /// One plain sentence.
  public var description: String {
    switch self {
    case .cannotBind(let host, let port):
      "The address \(host):\(port) cannot be used: it is taken, forbidden or not this machine's."
    }
  }
}
