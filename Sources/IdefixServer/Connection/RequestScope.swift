// What travels with one request: its connection, when it came, and who asks.

import Hummingbird
import NIOCore

/// The context of one request.
struct RequestScope: RequestContext {
  var coreContext: CoreRequestContextStorage
  /// The connection it came over.
  let connection: ClientConnection
  /// When its head was read.
  let start = ContinuousClock.now
  /// Whose API key it carries; empty on an open server.
  var tenant = ""

  init(source: ApplicationRequestContextSource) {
    coreContext = .init(source: source)
    connection = ClientConnection(channel: source.channel)
  }
}
