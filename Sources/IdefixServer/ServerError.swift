// Every way a request can be refused or fail, and how each is told: HTTP status, `error_type` and text of
// text-generation-inference. Texts never contain paths, pointers, foreign bytes or the names of Swift types.

import Hummingbird
import Idefix

/// Why a request was refused or failed.
package enum ServerError: Error, Sendable, Equatable {
  /// A parameter or the prompt cannot be used.
  case validation(String)
  /// A grammar, regular expression or schema cannot be compiled, or would cost too much; nothing is answered without it.
  case grammar(String)
  /// The JSON does not have the expected shape at `field`.
  case shape(field: String, expected: String)
  /// The body is no JSON.
  case malformedJSON
  /// The body is nested too deeply or has too many elements.
  case complexJSON(String)
  /// The body is larger than allowed.
  case bodyTooLarge(limit: Int)
  /// The body's content type is not JSON.
  case unsupportedMediaType
  /// No valid API key came with the request.
  case unauthorized
  /// There is no such route.
  case notFound
  /// The route exists for another method.
  case methodNotAllowed
  /// Messages that the chat template has no place for.
  case template(String)
  /// Tools were asked for.
  case toolsUnsupported
  /// Too many requests are being worked on.
  case overloaded
  /// The engine could not finish.
  case generation(String)
  /// The request took longer than allowed.
  case timedOut
  /// The answer ended without its last event.
  case incomplete
  /// The engine does not answer.
  case unhealthy
  /// A defect of the server.
  case internalFailure

  /// HTTP status.
  package var status: HTTPResponse.Status {
    switch self {
    case .validation, .shape, .template, .toolsUnsupported: .unprocessableContent
    case .grammar, .malformedJSON, .complexJSON: .badRequest
    case .bodyTooLarge: .contentTooLarge
    case .unsupportedMediaType: .unsupportedMediaType
    case .unauthorized: .unauthorized
    case .notFound: .notFound
    case .methodNotAllowed: .methodNotAllowed
    case .overloaded: .tooManyRequests
    case .generation: .init(code: 424, reasonPhrase: "Failed Dependency")
    case .timedOut: .gatewayTimeout
    case .incomplete, .internalFailure: .internalServerError
    case .unhealthy: .serviceUnavailable
    }
  }

  /// The `error_type` that clients map to their exceptions.
  package var kind: String {
    switch self {
    case .validation, .grammar, .shape, .malformedJSON, .complexJSON, .bodyTooLarge,
      .unsupportedMediaType:
      "validation"
    case .unauthorized: "unauthorized"
    case .notFound, .methodNotAllowed: "not_found"
    case .template: "template_error"
    case .toolsUnsupported: "tool_error"
    case .overloaded: "overloaded"
    case .generation, .timedOut, .internalFailure: "generation"
    case .incomplete: "incomplete_generation"
    case .unhealthy: "healthcheck"
    }
  }

  /// Whether a request for an answer failed, rather than one for something else or from nobody.
  var concernsGeneration: Bool {
    switch self {
    case .unauthorized, .notFound, .methodNotAllowed: false
    default: true
    }
  }

  /// The `error` text.
  package var message: String {
    switch self {
    case .validation(let reason), .grammar(let reason): "Input validation error: \(reason)"
    case .shape(let field, let expected):
      "Input validation error: `\(field)` must be \(expected)"
    case .malformedJSON: "Failed to parse the request body as JSON"
    case .complexJSON(let reason): "Failed to parse the request body as JSON: \(reason)"
    case .bodyTooLarge(let limit): "The request body exceeds \(limit) bytes"
    case .unsupportedMediaType: "Expected request with `Content-Type: application/json`"
    case .unauthorized: "A valid API key is required: `Authorization: Bearer KEY`"
    case .notFound: "Not found"
    case .methodNotAllowed: "Method not allowed"
    case .template(let reason): "Template error: \(reason)"
    case .toolsUnsupported: "Tool error: this model does not support tools"
    case .overloaded: "Model is overloaded"
    case .generation(let reason): "Request failed during generation: \(reason)"
    case .timedOut: "Request failed during generation: the time limit of the server was reached"
    case .incomplete: "Incomplete generation"
    case .unhealthy: "unhealthy"
    case .internalFailure: "Internal server error"
    }
  }

  /// Any error as one that may be told to a client.
  init(_ error: any Error) {
    switch error {
    case let error as ServerError: self = error
    case let error as EngineError: self = ServerError(engine: error)
    case let error as HTTPError where error.status == .notFound: self = .notFound
    case let error as HTTPError where error.status == .methodNotAllowed: self = .methodNotAllowed
    default: self = .internalFailure
    }
  }

  private init(engine error: EngineError) {
    switch error {
    case .promptTooLong(let tokens, let limit):
      self = .validation("`inputs` must have less than \(limit) tokens. Given: \(tokens)")
    case .contextExceeded(let prompt, let new, let limit):
      self = .validation(
        "`inputs` tokens + `max_new_tokens` must be <= \(limit). "
          + "Given: \(prompt) `inputs` tokens and \(new) `max_new_tokens`"
      )
    case .invalidParameter(let name, let reason): self = .validation("`\(name)` \(reason)")
    case .invalidImage: self = .validation("invalid image: \(error.description)")
    case .invalidPrompt, .tooManyImages, .outOfPages: self = .validation(error.description)
    case .invalidConstraint: self = .grammar(error.description)
    case .deadEnd: self = .generation(error.description)
    case .overloaded: self = .overloaded
    case .shutDown: self = .unhealthy
    case .noSuchModel, .invalidModel, .weightsLost, .invalidPrefixPack, .memoryBudget,
      .internalFailure:
      self = .generation("internal error")
    }
  }
}

extension ServerError: HTTPResponseError {
  package func response(from request: Request, context: some RequestContext) throws -> Response {
    var headers: HTTPFields = [:]
    switch self {
    case .unauthorized: headers[.wwwAuthenticate] = #"Basic realm="idefix", charset="UTF-8""#
    case .overloaded: headers[.retryAfter] = "1"
    default: break
    }
    return try .json(ErrorBody(self), status: status, headers: headers)
  }
}

/// `{"error": …, "error_type": …}`.
struct ErrorBody: Encodable {
  var error: String
  var errorType: String

  init(_ failure: ServerError) {
    error = failure.message
    errorType = failure.kind
  }

  enum CodingKeys: String, CodingKey {
    case error
    case errorType = "error_type"
  }
}
