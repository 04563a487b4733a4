// Every way the engine refuses or fails, each with what it needs to be told in one sentence.
// Texts never contain a pointer, a path of this machine (but the one the user gave) or foreign bytes.

/// Why the engine refused a request or failed.
public enum EngineError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A request parameter has no meaning.
  case invalidParameter(name: String, reason: String)
  /// The prompt's structure is wrong.
  case invalidPrompt(reason: String)
  /// The prompt alone fills the context.
  case promptTooLong(tokens: Int, limit: Int)
  /// Prompt and requested answer exceed the context.
  case contextExceeded(promptTokens: Int, maxTokens: Int, limit: Int)
  /// More images than allowed.
  case tooManyImages(count: Int, limit: Int)
  /// An image (counted from 0) cannot be used.
  case invalidImage(index: Int, reason: String)
  /// A constraint (choices, regular expression, schema) is not supported or too large.
  case invalidConstraint(reason: String)
  /// No token can follow: the constraint and the barred tokens exclude each other.
  case deadEnd
  /// The request can never fit the page budget.
  case outOfPages(needed: Int, available: Int)
  /// Too many requests wait already.
  case overloaded(limit: Int)
  /// No such file.
  case noSuchModel(path: String)
  /// The model file is damaged or not a model.
  case invalidModel(path: String, reason: String)
  /// The model file was damaged, changed or became unreadable while weights were streamed from it.
  case weightsLost(reason: String, isDamage: Bool)
  /// A prefix pack is damaged or belongs to another model.
  case invalidPrefixPack(reason: String)
  /// The memory budget cannot hold the model.
  case memoryBudget(needed: Int, budget: Int)
  /// The engine was shut down.
  case shutDown
  /// A defect of the engine itself.
  case internalFailure(reason: String)

  /// What a front end maps to an exit code or an HTTP status.
  public enum Category: Sendable {
    /// Wrong input of the user: exit 64, HTTP 422.
    case request
    /// Bad data in a file: exit 65, HTTP 422.
    case data
    /// Reading failed: exit 74, HTTP 500.
    case inputOutput
    /// No such input: exit 66.
    case missing
    /// Too many requests: HTTP 429.
    case overloaded
    /// Not running (any more): exit 69, HTTP 503.
    case unavailable
    /// A defect: exit 70, HTTP 500.
    case failure
  }

  /// The kind of failure, for exit codes and HTTP status.
  public var category: Category {
    switch self {
    case .invalidParameter, .invalidPrompt, .promptTooLong, .contextExceeded, .tooManyImages,
      .invalidConstraint, .deadEnd, .outOfPages, .memoryBudget:
      .request
    case .invalidImage, .invalidModel, .invalidPrefixPack: .data
    case .weightsLost(_, let isDamage): isDamage ? .data : .inputOutput
    case .noSuchModel: .missing
    case .overloaded: .overloaded
    case .shutDown: .unavailable
    case .internalFailure: .failure
    }
  }

  /// One plain sentence for the user.
  public var description: String {
    switch self {
    case .invalidParameter(let name, let reason): "`\(name)` \(reason)."
    case .invalidPrompt(let reason): "The prompt cannot be used: \(reason)."
    case .promptTooLong(let tokens, let limit):
      "The prompt must have less than \(limit) tokens; it has \(tokens)."
    case .contextExceeded(let promptTokens, let maxTokens, let limit):
      "\(promptTokens) prompt tokens and \(maxTokens) new tokens exceed the context of \(limit)."
    case .tooManyImages(let count, let limit):
      "The prompt has \(count) images; at most \(limit) are allowed."
    case .invalidImage(let index, let reason): "Image \(index + 1) cannot be used: \(reason)."
    case .invalidConstraint(let reason): "The constraint cannot be used: \(reason)."
    case .deadEnd: "No token is allowed to follow: constraint and barred tokens exclude each other."
    case .outOfPages(let needed, let available):
      "The request needs \(needed) cache pages; the memory budget has \(available)."
    case .overloaded(let limit): "The model is overloaded: \(limit) requests wait already."
    case .noSuchModel(let path): "There is no model file \(path)."
    case .invalidModel(let path, let reason): "\(path) cannot be used: \(reason)."
    case .weightsLost(let reason, _): "The model's weights cannot be read any more: \(reason)"
    case .invalidPrefixPack(let reason): "The prefix pack cannot be used: \(reason)."
    case .memoryBudget(let needed, let budget):
      "The memory budget of \(megabytes(budget)) is too small; the least is \(megabytes(needed))."
    case .shutDown: "The engine was shut down."
    case .internalFailure(let reason): "The engine failed: \(reason)."
    }
  }
}

/// Bytes as a person, and the command line, writes them.
private func megabytes(_ bytes: Int) -> String { "\((bytes + (1 << 20) - 1) >> 20)M" }
