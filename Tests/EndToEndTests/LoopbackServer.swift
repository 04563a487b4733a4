// Serves the same bytes over HTTP to whoever asks, on this machine only.

import Foundation

/// A web server for one test.
final class LoopbackServer: Sendable {
  /// The port it listens on.
  let port: UInt16
  private let descriptor: Int32

  struct Failure: Error {}

  /// Starts to serve `body`.
  init(_ body: [UInt8]) throws {
    descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let descriptor = descriptor
    let isListening = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
        bind(descriptor, generic, length) == 0 && listen(descriptor, 8) == 0
          && getsockname(descriptor, generic, &length) == 0
      }
    }
    guard isListening else { throw Failure() }
    port = UInt16(bigEndian: address.sin_port)
    let reply =
      Array("HTTP/1.1 200 OK\r\ncontent-length: \(body.count)\r\nconnection: close\r\n\r\n".utf8)
      + body
    Thread.detachNewThread {
      while case let client = accept(descriptor, nil, nil), client >= 0 {
        var request = [UInt8](repeating: 0, count: 4096)
        _ = recv(client, &request, request.count, 0)
        _ = send(client, reply, reply.count, Int32(MSG_NOSIGNAL))
        close(client)
      }
    }
  }

  deinit {
    shutdown(descriptor, Int32(SHUT_RDWR))
    close(descriptor)
  }
}
