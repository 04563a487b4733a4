// What happens around every route: the access log (never prompt text), errors as JSON, and the check of
// API keys on every route but the two health probes.

import Foundation
import Hummingbird
import Logging

/// Logs and counts each request and names it in `x-request-id`.
struct AccessLog: RouterMiddleware {
  let metrics: Metrics

  func handle(
    _ request: Request,
    context: RequestScope,
    next: (Request, RequestScope) async throws -> Response
  ) async throws -> Response {
    var response = try await next(request, context)
    response.headers.set("x-request-id", context.id)
    // The route as it was declared, not the path as it was sent: that could hold anything.
    let route = context.endpointPath ?? "none"
    metrics.answered(request.method, route: route, status: response.status.code)
    let elapsed = (ContinuousClock.now - context.start).milliseconds
    context.logger.log(
      level: response.status.code < 500 ? .info : .error,
      "request",
      metadata: [
        "method": "\(request.method)",
        "route": "\(route)",
        "status": .stringConvertible(response.status.code),
        "ms": .stringConvertible(Int(elapsed.rounded())),
      ]
    )
    return response
  }
}

/// Turns whatever a route throws into an answer, and counts it.
struct ErrorResponder: RouterMiddleware {
  let metrics: Metrics

  func handle(
    _ request: Request,
    context: RequestScope,
    next: (Request, RequestScope) async throws -> Response
  ) async throws -> Response {
    do {
      return try await next(request, context)
    } catch is CancellationError {
      // Nobody is there to read it; the status is what nginx logs for a client that went away.
      return Response(status: .init(code: 499, reasonPhrase: "Client Closed Request"))
    } catch {
      let failure = ServerError(error)
      if failure == .internalFailure {
        context.logger.error("unexpected error", metadata: ["type": "\(type(of: error))"])
      }
      if failure.concernsGeneration { metrics.requestFailed(kind: failure.kind) }
      return try failure.response(from: request, context: context)
    }
  }
}

/// Lets only requests with an accepted key through, once there are keys.
///
/// The key comes as `Authorization: Bearer KEY`, or as the password of `Basic`, which browsers ask for.
struct KeyCheck: RouterMiddleware {
  let keys: APIKeys
  /// Paths that are open to everybody.
  static let openPaths: Set<String> = ["/health", "/ping"]

  func handle(
    _ request: Request,
    context: RequestScope,
    next: (Request, RequestScope) async throws -> Response
  ) async throws -> Response {
    guard !keys.isEmpty, !Self.openPaths.contains(request.uri.path) else {
      return try await next(request, context)
    }
    guard let key = Self.key(in: request.headers[.authorization]), let tenant = keys.tenant(of: key)
    else { throw ServerError.unauthorized }
    var context = context
    context.tenant = tenant
    return try await next(request, context)
  }

  /// The key in an `Authorization` header.
  static func key(in header: String?) -> String? {
    guard let header, let space = header.firstIndex(of: " ") else { return nil }
    let value = header[header.index(after: space)...].trimmingCharacters(in: .whitespaces)
    switch header[..<space].lowercased() {
    case "bearer": return value
    case "basic":
      guard let data = Data(base64Encoded: value) else { return nil }
      let pair = String(decoding: data, as: UTF8.self)
      return pair.firstIndex(of: ":").map { String(pair[pair.index(after: $0)...]) }
    default: return nil
    }
  }
}
