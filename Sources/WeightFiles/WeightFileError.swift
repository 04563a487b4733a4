// Every way in which reading or writing a weight file can fail, with what a person needs to know.
// Owns the sentences; owns no exit codes (the command maps `kind` to one).

import Glibc

/// A failure to read, validate or write a checkpoint or `.idfx` file.
public enum WeightFileError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Nothing is at `path`.
  case notFound(path: String)
  /// The system refused a read; `code` is errno.
  case cannotRead(path: String, code: Int32)
  /// The system refused a write; `code` is errno.
  case cannotWrite(path: String, code: Int32)
  /// The bytes of the file break a rule of its format.
  case malformed(path: String, reason: String)
  /// One tensor of the file breaks a rule.
  case badTensor(path: String, tensor: String, reason: String)
  /// The file has no tensor of this name, or not of the wanted kind.
  case noSuchTensor(path: String, tensor: String)
  /// The file changed while it was being read.
  case changed(path: String)
  /// Another process is writing the same file.
  case busy(path: String)
  /// Loading was stopped on request.
  case cancelled(path: String)

  /// What sort of failure this is: the caller's guide to an exit code.
  public enum Kind: Sendable {
    /// No such input (66).
    case noInput
    /// Bad data (65).
    case badData
    /// The system failed us; trying again later may help (74).
    case inputOutput
  }

  /// What sort of failure this is.
  public var kind: Kind {
    switch self {
    case .notFound: .noInput
    case .cannotRead, .cannotWrite, .changed, .busy, .cancelled: .inputOutput
    case .malformed, .badTensor, .noSuchTensor: .badData
    }
  }

  /// The file concerned.
  public var path: String {
    switch self {
    case .notFound(let path), .cannotRead(let path, _), .cannotWrite(let path, _),
      .malformed(let path, _), .badTensor(let path, _, _), .noSuchTensor(let path, _),
      .changed(let path), .busy(let path), .cancelled(let path):
      path
    }
  }

  /// One sentence that names the file and the reason.
  public var description: String {
    switch self {
    case .notFound(let path): "\(path): no such file or folder."
    case .cannotRead(let path, let code): "\(path): cannot read: \(Self.text(code))."
    case .cannotWrite(let path, let code):
      code == ENOSPC || code == EDQUOT
        ? "\(path): the disk is full; free some space and run the same command to resume."
        : "\(path): cannot write: \(Self.text(code))."
    case .malformed(let path, let reason): "\(path): \(reason)."
    case .badTensor(let path, let tensor, let reason):
      "\(path): tensor \(Self.quoted(tensor)) \(reason)."
    case .noSuchTensor(let path, let tensor): "\(path): has no tensor \(Self.quoted(tensor))."
    case .changed(let path): "\(path): the file changed while it was being read."
    case .busy(let path): "\(path): another process is writing it."
    case .cancelled(let path): "\(path): loading was stopped."
    }
  }

  /// A name from outside, fit for one line of a terminal: printable ASCII, at most 120 characters.
  static func quoted(_ name: String) -> String {
    let safe = name.unicodeScalars.prefix(120).map { scalar in
      (0x20..<0x7f).contains(scalar.value) && scalar != "\"" ? Character(scalar) : "?"
    }
    return "\"" + String(safe) + (name.unicodeScalars.count > 120 ? "…" : "") + "\""
  }

  private static func text(_ code: Int32) -> String {
    guard let message = strerror(code) else { return "error \(code)" }
    return String(cString: message)
  }
}
