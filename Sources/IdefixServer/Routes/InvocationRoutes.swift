// SageMaker's `/invocations`: one route for every dialect; the body's fields say which one it is.

import Foundation
import Hummingbird

/// The route that guesses the dialect.
struct InvocationRoutes: Sendable {
  let inference: Inference

  /// Which of the dialects' fields a body has.
  private struct Probe: Decodable {
    var inputs: JSONPresence?
    var messages: JSONPresence?
    var prompt: JSONPresence?
  }

  func add(to router: Router<RequestScope>) {
    router.post("/invocations") { request, scope in
      let ticket = try inference.admission.admit()
      let data = try await inference.bodies.read(request, ticket: ticket)
      let probe = try JSONDecoder.decodeRequest(Probe.self, from: data)
      if probe.messages != nil {
        let body = try JSONDecoder.decodeRequest(ChatRequest.self, from: data)
        return try await ChatRoutes(inference: inference)
          .reply(to: body, scope: scope, ticket: ticket)
      }
      if probe.prompt != nil, probe.inputs == nil {
        let body = try JSONDecoder.decodeRequest(CompletionRequest.self, from: data)
        return try await CompletionRoutes(inference: inference)
          .reply(to: body, scope: scope, ticket: ticket)
      }
      let body = try JSONDecoder.decodeRequest(GenerateRequest.self, from: data)
      return try await TGIRoutes(inference: inference)
        .compatible(body, scope: scope, ticket: ticket)
    }
  }
}

/// Any JSON value, not looked at.
struct JSONPresence: Decodable {
  init(from decoder: any Decoder) throws {}
}
