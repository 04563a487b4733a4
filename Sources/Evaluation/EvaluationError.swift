// Every way an evaluation fails, naming the file, the line and what is wrong there.

/// Why an evaluation cannot go on.
public enum EvaluationError: Error, Sendable, Equatable, CustomStringConvertible {
  /// There is no such file.
  case noSuchFile(path: String)
  /// A file cannot be read.
  case unreadable(path: String)
  /// A file cannot be written.
  case unwritable(path: String)
  /// A file that would be overwritten.
  case alreadyExists(path: String, advice: String)
  /// A file does not hold what it should; lines count from 1.
  case invalidData(path: String, line: Int?, reason: String)
  /// Results or references of another model, data set or setting.
  case mismatch(path: String, reason: String)
  /// A row of the data cannot be answered.
  case item(id: String, path: String, line: Int, reason: String)
  /// The evaluation does not fit the model.
  case unsuitable(reason: String)

  /// What a front end maps to an exit code.
  public enum Kind: Sendable {
    /// Wrong use: exit 64.
    case usage
    /// Bad data in a file: exit 65.
    case badData
    /// No such input: exit 66.
    case noInput
    /// Reading or writing failed: exit 74.
    case inputOutput
  }

  /// The kind of failure, for exit codes.
  public var kind: Kind {
    switch self {
    case .noSuchFile: .noInput
    case .unreadable, .unwritable: .inputOutput
    case .alreadyExists, .unsuitable: .usage
    case .invalidData, .mismatch, .item: .badData
    }
  }

  /// One plain sentence for the user.
  public var description: String {
    switch self {
    case .noSuchFile(let path): "There is no file \(path)."
    case .unreadable(let path): "\(path) cannot be read."
    case .unwritable(let path): "\(path) cannot be written."
    case .alreadyExists(let path, let advice): "\(path) exists already; \(advice)."
    case .invalidData(let path, let line?, let reason): "\(path), line \(line): \(reason)."
    case .invalidData(let path, nil, let reason): "\(path): \(reason)."
    case .mismatch(let path, let reason): "\(path) does not belong to this run: \(reason)."
    case .item(let id, let path, let line, let reason):
      "\(path), line \(line), item \(id): \(reason)"
    case .unsuitable(let reason): "\(reason)."
    }
  }
}
