// What `run --json` and `batch` tell about a generated token.

import Idefix

/// A generated token with its log-probability and what else could have stood there.
public struct TokenReport: Codable, Sendable, Equatable {
  /// One of the most probable tokens.
  public struct Alternative: Codable, Sendable, Equatable {
    /// Token id.
    public var id: Int32
    /// The token's text.
    public var text: String
    /// Natural log-probability.
    public var logprob: Float
  }

  /// Token id.
  public var id: Int32
  /// The token's text.
  public var text: String
  /// Natural log-probability.
  public var logprob: Float
  /// The most probable tokens, best first, as many as were asked for.
  public var top: [Alternative]

  /// What is known of `token`.
  public init(_ token: TokenEvent) {
    id = token.id
    text = token.piece
    logprob = token.logprob
    top = token.top.map { Alternative(id: $0.id, text: $0.text, logprob: $0.logprob) }
  }
}
