// Reading a request body: type, size and structure are checked before anything is decoded, and every byte
// held is counted against the server's bound.

import Foundation
import Hummingbird

/// Reads JSON bodies under the server's limits.
struct BodyReader: Sendable {
  let maxBytes: Int
  let limits: JSONLimits

  init(options: ServerOptions) {
    maxBytes = options.maxBodyBytes
    limits = JSONLimits(depth: options.maxJSONDepth, elements: options.maxJSONElements)
  }

  /// The bytes of a JSON body.
  func read(_ request: Request, ticket: Admission.Ticket) async throws -> Data {
    let type = request.headers[.contentType]?.prefix { $0 != ";" }
      .trimmingCharacters(in: .whitespaces).lowercased()
    guard type == "application/json" else { throw ServerError.unsupportedMediaType }
    if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > maxBytes {
      throw ServerError.bodyTooLarge(limit: maxBytes)
    }
    var data = Data()
    for try await chunk in request.body {
      guard data.count + chunk.readableBytes <= maxBytes else {
        throw ServerError.bodyTooLarge(limit: maxBytes)
      }
      try ticket.reserve(bytes: chunk.readableBytes)
      data.append(contentsOf: chunk.readableBytesView)
    }
    try limits.check(data.span)
    return data
  }

  /// A decoded JSON body.
  func decode<Body: Decodable>(
    _ type: Body.Type,
    from request: Request,
    ticket: Admission.Ticket
  ) async throws -> Body {
    try JSONDecoder.decodeRequest(type, from: try await read(request, ticket: ticket))
  }
}
