// The routes of hosting platforms: SageMaker's `/invocations`, one route for every dialect, and Vertex AI's
// `/vertex`, several requests in one. The fields of a body say which dialect it is.

import Foundation
import Hummingbird
import Idefix

/// The routes that guess the dialect.
struct InvocationRoutes: Sendable {
  let inference: Inference

  /// Which of the dialects' fields a body has.
  private struct Probe: Decodable {
    var inputs: JSONPresence?
    var messages: JSONPresence?
    var prompt: JSONPresence?
  }

  /// Several requests, each of the generate or the chat dialect.
  private struct VertexRequest: Decodable {
    var instances: [Instance]

    enum Instance: Decodable, Sendable {
      case generate(GenerateRequest)
      case chat(ChatRequest)

      init(from decoder: any Decoder) throws {
        self =
          try Probe(from: decoder).messages == nil
          ? .generate(try GenerateRequest(from: decoder)) : .chat(try ChatRequest(from: decoder))
      }
    }
  }

  /// The text of each answer.
  private struct VertexReply: Encodable {
    var predictions: [String]
  }

  func add(to router: Router<RequestScope>) {
    router.post("/invocations") { request, scope in
      let ticket = try inference.admit()
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
    router.post("/vertex") { request, scope in
      let (body, ticket) = try await inference.receive(VertexRequest.self, from: request)
      return try await predict(body.instances, scope: scope, ticket: ticket)
    }
  }

  /// Answers all instances at once, under the limit that a batch of prompts has.
  private func predict(
    _ instances: [VertexRequest.Instance],
    scope: RequestScope,
    ticket: Admission.Ticket
  ) async throws -> Response {
    let limit = inference.options.maxClientBatchSize
    guard (1...limit).contains(instances.count) else {
      throw ServerError.validation(
        "`instances` must hold 1 to \(limit) requests. Given: \(instances.count)"
      )
    }
    let predictions = try await scope.connection.whileOpen {
      try await inMembersOrder(instances) { _, instance in
        let request: GenerationRequest
        switch instance {
        case .generate(let body):
          request = try await TGIRoutes(inference: inference)
            .generation(for: body, scope: scope, ticket: ticket, streaming: false)
        case .chat(let body):
          request = try await ChatRoutes(inference: inference)
            .generation(for: body, scope: scope, ticket: ticket)
        }
        let result = try await inference.run(request, scope: scope).result
        return result.sequences.max { $0.score < $1.score }?.text ?? ""
      }
    }
    withExtendedLifetime(ticket) {}
    return try .json(VertexReply(predictions: predictions))
  }
}

/// Any JSON value, not looked at.
struct JSONPresence: Decodable {
  init(from decoder: any Decoder) throws {}
}
