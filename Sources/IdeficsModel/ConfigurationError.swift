// Ways in which a config.json cannot be used.

/// A config.json that does not describe a model we can run.
public enum ConfigurationError: Error, Equatable, CustomStringConvertible {
  /// Not JSON, or a field of the wrong type.
  case malformed(String)
  /// A size outside `1...limit` (or `0...limit` where zero is allowed).
  case outOfRange(field: String, value: Int, limit: Int)
  /// One size that must be a multiple of another is not.
  case notDivisible(String, Int, by: String, Int)
  /// A variant of the architecture that is not implemented.
  case unsupported(field: String, value: String)

  /// One sentence for the user; the file is named by the caller.
  public var description: String {
    switch self {
    case .malformed(let reason):
      "config.json cannot be read: \(reason)."
    case .outOfRange(let field, let value, let limit):
      "config.json: \(field) is \(value), outside the supported range up to \(limit)."
    case .notDivisible(let field, let value, let divisorField, let divisor):
      "config.json: \(field) (\(value)) is not a multiple of \(divisorField) (\(divisor))."
    case .unsupported(let field, let value):
      "config.json: \(field) \(value) is not supported."
    }
  }
}
