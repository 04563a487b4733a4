// Fetches images that requests name by address. Order of events for every hop: the operator's rules, one
// name resolution, every resulting address vetted, then a connection to exactly the vetted address.
// Refuses hosts that were not allowed, private addresses, a fourth redirect, large bodies and slow hosts.

import AsyncHTTPClient
import Hummingbird
import NIOCore
import NIOPosix

/// Turns host names into addresses.
package protocol AddressResolver: Sendable {
  /// All addresses of a host name or literal.
  func addresses(of host: String) async throws -> [NetworkAddress]
}

/// Gets one address over HTTP without following redirects.
package protocol ImageTransport: Sendable {
  /// Asks `address` for `url`; a body beyond `limit` bytes is an error.
  func get(_ url: ImageURL, at address: NetworkAddress, limit: Int) async throws -> FetchReply
}

/// What a host answered.
package enum FetchReply: Sendable {
  /// The body of a successful answer.
  case body([UInt8])
  /// The location it redirects to.
  case redirect(String)
}

/// Fetches images under the server's rules.
package struct ImageFetcher: Sendable {
  /// Hosts that may be asked; empty: none.
  let rules: [ImageHostRule]
  /// Bytes of one image.
  let limit: Int
  /// Time for one image, redirects included.
  let timeout: Duration
  let resolver: any AddressResolver
  let transport: any ImageTransport

  /// Redirects followed for one image.
  static let maximumRedirects = 3

  package init(
    options: ServerOptions,
    resolver: any AddressResolver = SystemResolver(),
    transport: any ImageTransport = HTTPImageTransport()
  ) {
    rules = options.imageHosts
    limit = options.maxFetchedBytes
    timeout = options.fetchTimeout
    self.resolver = resolver
    self.transport = transport
  }

  /// The bytes at `url`.
  package func fetch(_ url: ImageURL) async throws -> [UInt8] {
    do {
      return try await withDeadline(timeout, error: Self.refusal("the host took too long")) {
        try await follow(url)
      }
    } catch let error as ServerError {
      throw error
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      throw Self.refusal("the host could not be reached")
    }
  }

  private func follow(_ first: ImageURL) async throws -> [UInt8] {
    var url = first
    for _ in 0...Self.maximumRedirects {
      let address = try await vettedAddress(of: url)
      switch try await transport.get(url, at: address, limit: limit) {
      case .body(let bytes): return bytes
      case .redirect(let location): url = try url.redirected(to: location)
      }
    }
    throw Self.refusal("more than \(Self.maximumRedirects) redirects")
  }

  private func vettedAddress(of url: ImageURL) async throws -> NetworkAddress {
    guard !rules.isEmpty else { throw Self.refusal("this server does not fetch images") }
    let allowing = rules.filter { $0.allows(url) }
    guard !allowing.isEmpty else { throw Self.refusal("the host is not allowed") }
    let addresses = try await resolver.addresses(of: url.host)
    guard let first = addresses.first else { throw Self.refusal("the host is unknown") }
    for address in addresses {
      guard address.isPublic || allowing.contains(where: { $0.names(address, of: url) }) else {
        throw Self.refusal("the host is not on the public internet")
      }
    }
    return first
  }

  static func refusal(_ reason: String) -> ServerError {
    .validation("Could not fetch image: \(reason)")
  }
}

/// Runs `operation`, and throws `error` if it has not ended in time; it is cancelled then.
func withDeadline<Value: Sendable>(
  _ limit: Duration,
  error: some Error,
  _ operation: @escaping @Sendable () async throws -> Value
) async throws -> Value {
  try await withThrowingTaskGroup(of: Value.self) { group in
    group.addTask { try await operation() }
    group.addTask {
      try await Task.sleep(for: limit)
      throw error
    }
    defer { group.cancelAll() }
    guard let value = try await group.next() else { throw error }
    return value
  }
}

/// The system's resolver, on a thread of its own: `getaddrinfo` blocks.
package struct SystemResolver: AddressResolver {
  /// The system's resolver.
  package init() {}

  package func addresses(of host: String) async throws -> [NetworkAddress] {
    try await NIOThreadPool.singleton.runIfActive {
      // The port only fills a field; NIO reports the address that a connection would take first.
      let address = try SocketAddress.makeAddressResolvingHost(host, port: 80)
      return address.ipAddress.flatMap { NetworkAddress($0) }.map { [$0] } ?? []
    }
  }
}

/// HTTP through async-http-client, one client a request, so that the vetted address can be pinned.
package struct HTTPImageTransport: ImageTransport {
  /// A transport without state.
  package init() {}

  package func get(
    _ url: ImageURL,
    at address: NetworkAddress,
    limit: Int
  ) async throws -> FetchReply {
    var configuration = HTTPClient.Configuration()
    configuration.redirectConfiguration = .disallow
    configuration.decompression = .disabled
    configuration.httpVersion = .http1Only
    configuration.timeout = .init(connect: .seconds(5), read: .seconds(5))
    configuration.dnsOverride = [url.host: address.description]
    return try await HTTPClient.withHTTPClient(configuration: configuration) { client in
      var request = HTTPClientRequest(url: url.text)
      request.headers.add(name: "accept", value: "image/*")
      request.headers.add(name: "accept-encoding", value: "identity")
      let response = try await client.execute(request, timeout: .seconds(30))
      return try await read(response, limit: limit)
    }
  }

  private func read(_ response: HTTPClientResponse, limit: Int) async throws -> FetchReply {
    switch response.status.code {
    case 200: break
    case 301, 302, 303, 307, 308:
      guard let location = response.headers.first(name: "location") else {
        throw ImageFetcher.refusal("the host redirects to nowhere")
      }
      return .redirect(location)
    default: throw ImageFetcher.refusal("the host answered \(response.status.code)")
    }
    if let length = response.headers.first(name: "content-length").flatMap({ Int($0) }) {
      guard length <= limit else { throw Self.tooLarge(length, limit) }
    }
    var bytes: [UInt8] = []
    for try await chunk in response.body {
      guard bytes.count + chunk.readableBytes <= limit else {
        throw Self.tooLarge(bytes.count + chunk.readableBytes, limit)
      }
      bytes.append(contentsOf: chunk.readableBytesView)
    }
    return .body(bytes)
  }

  private static func tooLarge(_ size: Int, _ limit: Int) -> ServerError {
    .validation("Image size \(size) bytes exceeds maximum allowed size of \(limit) bytes")
  }
}
