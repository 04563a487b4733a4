// Server-sent events: framing, keep-alive comments and the end of the stream when the client goes. Frames
// are `data:{json}` with no space, as text-generation-inference sends them.

import Foundation
import Hummingbird

/// Where a handler puts the frames of its event stream.
struct EventSink: Sendable {
  fileprivate let frames: AsyncStream<ByteBuffer>.Continuation

  /// Frames that may wait for the client: more than any context has tokens.
  fileprivate static let capacity = 16384

  /// Sends a JSON document.
  func send(_ value: some Encodable) throws {
    try send(value, after: "data:")
  }

  /// Sends a comment, which clients that do not look for it ignore.
  func comment(_ value: some Encodable) throws {
    try send(value, after: ":")
  }

  /// Sends OpenAI's end mark, with the space that huggingface_hub insists on.
  func sendDone() { frames.yield(ByteBuffer(string: "data: [DONE]\n\n")) }

  private func send(_ value: some Encodable, after lead: String) throws {
    var frame = ByteBuffer(string: lead)
    frame.writeBytes(try JSONEncoder.encodeReply(value))
    frame.writeString("\n\n")
    // A client that is so far behind is as good as gone.
    if case .dropped = frames.yield(frame) { throw CancellationError() }
  }
}

/// A response that is a stream of events.
enum EventStream {
  /// A response whose frames `produce` makes while the client is there.
  ///
  /// `produce` is cancelled when the client goes or stops reading. Errors that it throws end the
  /// stream as the frame `failure` makes of them.
  static func response<Failure: Encodable & SendableMetatype>(
    headers: HTTPFields,
    keepAlive: Duration,
    connection: ClientConnection,
    failure: @escaping @Sendable (ServerError) -> Failure,
    produce: @escaping @Sendable (EventSink) async throws -> Void
  ) -> Response {
    var headers = headers
    headers[.contentType] = "text/event-stream"
    headers[.cacheControl] = "no-cache"
    headers.set("x-accel-buffering", "no")
    let body = ResponseBody { writer in
      let (frames, continuation) = AsyncStream.makeStream(
        of: ByteBuffer.self,
        bufferingPolicy: .bufferingOldest(EventSink.capacity)
      )
      let sink = EventSink(frames: continuation)
      try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask {
          defer { continuation.finish() }
          do {
            try await connection.whileOpen { try await produce(sink) }
          } catch is CancellationError {
            return
          } catch {
            try sink.send(failure(ServerError(error)))
          }
        }
        group.addTask {
          while true {
            try await Task.sleep(for: keepAlive)
            continuation.yield(ByteBuffer(string: ":\n\n"))
          }
        }
        defer { group.cancelAll() }
        for await frame in frames { try await writer.write(frame) }
      }
      try await writer.finish(nil)
    }
    return Response(status: .ok, headers: headers, body: body)
  }
}
