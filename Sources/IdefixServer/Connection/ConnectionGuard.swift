// Watches one connection: complete request heads and bodies in time, no rest longer than allowed, a client
// that reads what it is sent, a client that goes away, and header limits. Whatever breaks a rule is closed,
// which cancels the request that is being worked on.

import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// The deadlines of a connection and the end of its patience.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  private let options: ServerOptions
  /// Fires when the client has not sent what is due.
  private var readTimer: Scheduled<Void>?
  /// Fires when the client has not read what it was sent.
  private var writeTimer: Scheduled<Void>?
  private var requests = 0
  private var requestsInProgress = 0
  private var closesAfterResponse = false

  /// Requests answered on one connection; bounds what a connection can pile up.
  static let maximumRequests = 1000

  init(options: ServerOptions) { self.options = options }

  func handlerAdded(context: ChannelHandlerContext) {
    if context.channel.isActive { expectRead(context, within: options.headerDeadline) }
  }

  func handlerRemoved(context: ChannelHandlerContext) {
    readTimer?.cancel()
    writeTimer?.cancel()
  }

  func channelActive(context: ChannelHandlerContext) {
    expectRead(context, within: options.headerDeadline)
    context.fireChannelActive()
  }

  func channelInactive(context: ChannelHandlerContext) {
    readTimer?.cancel()
    writeTimer?.cancel()
    context.fireChannelInactive()
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      requests += 1
      requestsInProgress += 1
      expectRead(context, within: options.bodyDeadline)
      invite(head, context)
    case .body: break
    case .end: readTimer?.cancel()
    }
    context.fireChannelRead(data)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    switch unwrapOutboundIn(data) {
    case .head(var head) where requests >= Self.maximumRequests:
      closesAfterResponse = true
      head.headerFields[.connection] = "close"
      context.write(wrapOutboundOut(.head(head)), promise: promise)
    case .end where closesAfterResponse:
      context.writeAndFlush(data, promise: promise)
      context.close(promise: nil)
    case .end:
      requestsInProgress -= 1
      if requestsInProgress == 0 { expectRead(context, within: options.idleDeadline) }
      context.write(data, promise: promise)
    default: context.write(data, promise: promise)
    }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    writeTimer?.cancel()
    if !context.channel.isWritable {
      writeTimer = scheduleClose(context, after: options.writeDeadline)
    }
    context.fireChannelWritabilityChanged()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case ChannelEvent.inputClosed = event {
      // A client that sends nothing more is gone: nobody half-closes a connection to wait for minutes.
      context.close(promise: nil)
      return
    }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard requestsInProgress == 0, let error = error as? HTTPParserError else {
      context.fireErrorCaught(error)
      return
    }
    // Nothing that follows a broken head can be understood, so the answer is the connection's last.
    let status: HTTPResponse.Status =
      error == .headerOverflow ? .requestHeaderFieldsTooLarge : .badRequest
    let fields: HTTPFields = [.connection: "close", .contentLength: "0"]
    context.write(
      wrapOutboundOut(.head(HTTPResponse(status: status, headerFields: fields))),
      promise: nil
    )
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    context.close(promise: nil)
  }

  /// Tells a client that waits for it to send its body, unless that will be refused.
  private func invite(_ head: HTTPRequest, _ context: ChannelHandlerContext) {
    let length = head.headerFields[.contentLength].flatMap { Int($0) } ?? 0
    guard head.headerFields[.expect]?.lowercased() == "100-continue", length <= options.maxBodyBytes
    else { return }
    context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
  }

  private func expectRead(_ context: ChannelHandlerContext, within limit: Duration) {
    readTimer?.cancel()
    readTimer = scheduleClose(context, after: limit)
  }

  private func scheduleClose(
    _ context: ChannelHandlerContext,
    after limit: Duration
  ) -> Scheduled<Void> {
    let channel = context.channel
    return context.eventLoop.scheduleTask(in: TimeAmount(limit)) { channel.close(promise: nil) }
  }
}
