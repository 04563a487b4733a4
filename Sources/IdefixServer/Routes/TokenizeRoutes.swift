// `/tokenize` and `/chat_tokenize`: the ids a prompt becomes, each with its place in the text.

import Hummingbird
import Idefix

/// Tokenisation without generation.
struct TokenizeRoutes: Sendable {
  let inference: Inference

  func add(to router: Router<RequestScope>) {
    router.post("/tokenize") { request, _ in
      let ticket = try inference.admission.admit()
      let body = try await inference.bodies.decode(
        GenerateRequest.self,
        from: request,
        ticket: ticket
      )
      guard !body.inputs.isEmpty else { throw ServerError.validation("`inputs` cannot be empty") }
      var prompt = Prompt.interleaved(try await inference.parts(of: body.inputs, ticket: ticket))
      prompt.parsesSpecialTokens = true
      return try Response.json(Self.place(try inference.engine.tokenize(prompt), in: body.inputs))
    }
    router.post("/chat_tokenize") { request, _ in
      let ticket = try inference.admission.admit()
      let body = try await inference.bodies.decode(ChatRequest.self, from: request, ticket: ticket)
      try inference.checkImageCount(body.imageAddresses.count)
      let prompt = try await body.prompt(escapingRoles: inference.options.escapesRoles) {
        try await inference.image(at: $0, ticket: ticket)
      }
      let tokens = try inference.engine.tokenize(prompt)
      // The tokenizer's own space before the first word is no part of the template.
      let text = String(tokens.dropFirst().map(\.text).joined().drop { $0 == " " })
      return try Response.json(
        ChatTokenizeReply(tokenizeResponse: Self.place(tokens, in: text), templatedText: text)
      )
    }
  }

  /// Finds each token in the text, in Unicode scalars.
  ///
  /// A token that is not in the text (`<s>`, image tokens, part of a character) gets an empty range at
  /// the place reached so far.
  static func place(_ tokens: [TokenText], in text: String) -> [SimpleToken] {
    let scalars = Array(text.unicodeScalars)
    var position = 0
    return tokens.map { token in
      var start = position
      var stop = position
      // The tokenizer puts a space before the first word, which the text need not have.
      let bare = token.text.hasPrefix(" ") ? String(token.text.dropFirst()) : ""
      for candidate in [token.text, bare] where !candidate.isEmpty {
        let wanted = Array(candidate.unicodeScalars)
        guard let found = find(wanted, in: scalars, from: position) else { continue }
        (start, stop) = (found, found + wanted.count)
        position = stop
        break
      }
      return SimpleToken(id: token.id, text: token.text, start: start, stop: stop)
    }
  }

  /// How far ahead a token may be: what a stripped space and a four-byte character leave open.
  private static let reach = 8

  private static func find(
    _ wanted: [Unicode.Scalar],
    in scalars: [Unicode.Scalar],
    from position: Int
  ) -> Int? {
    let last = min(position + reach, scalars.count - wanted.count)
    guard position <= last else { return nil }
    return (position...last).first { scalars[$0..<$0 + wanted.count].elementsEqual(wanted) }
  }
}
