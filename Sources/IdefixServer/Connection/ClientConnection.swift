// Ties the work of a request to the connection it came over: when the client goes, the work is cancelled.

import Hummingbird
import NIOCore

/// The connection a request came over.
struct ClientConnection: Sendable {
  private let closed: EventLoopFuture<Void>

  init(channel: any Channel) { closed = channel.closeFuture }

  /// Runs `operation` and cancels it when the connection closes; then throws `CancellationError`.
  func whileOpen<Value: Sendable>(
    _ operation: @escaping @Sendable () async throws -> Value
  ) async throws -> Value {
    let (signal, source) = AsyncStream<Never>.makeStream()
    closed.whenComplete { _ in source.finish() }
    return try await withThrowingTaskGroup(of: Value.self) { group in
      group.addTask { try await operation() }
      group.addTask {
        for await _ in signal {}
        throw CancellationError()
      }
      defer { group.cancelAll() }
      guard let value = try await group.next() else { throw CancellationError() }
      return value
    }
  }
}
