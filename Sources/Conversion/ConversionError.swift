// Every way in which a conversion can fail, with a sentence for the person who asked for it.

import IdeficsModel
import WeightFiles

/// A failure to plan, convert, verify or export.
public enum ConversionError: Error, Sendable, CustomStringConvertible {
  /// A weight file could not be read, is not valid, or could not be written.
  case weights(WeightFileError)
  /// The configuration is not one of a model we know.
  case configuration(path: String, ConfigurationError)
  /// A file that a checkpoint must have is not in the folder.
  case missingFile(path: String, name: String)
  /// The tensors of the checkpoint are not those of its configuration.
  case inventory(path: String, [InventoryFault])
  /// The recipe is not valid.
  case recipe(path: String, reason: String)
  /// The adapter cannot be merged.
  case adapter(path: String, reason: String)
  /// The prompts of a calibration cannot be run.
  case calibration(name: String, reason: String)
  /// A tensor holds NaN, an infinity, or a number no weight can have.
  case notFinite(path: String, tensor: String)
  /// A file that would be written is there already.
  case exists(path: String)
  /// The bytes of an `.idfx` file are not what its source gives.
  case differs(path: String, tensor: String, reason: String)
  /// The caller asked to stop; what is done can be resumed.
  case cancelled

  /// One tensor that is not as the configuration says.
  public enum InventoryFault: Sendable, Hashable, CustomStringConvertible {
    /// Not in the checkpoint.
    case missing(String)
    /// In the checkpoint, but no parameter of this model.
    case unknown(String)
    /// Of another shape.
    case shape(String, expected: [Int], actual: [Int])
    /// Of an element type that no weight has.
    case type(String, String)

    /// What is wrong, without a full stop.
    public var description: String {
      switch self {
      case .missing(let name): "\(name) is missing"
      case .unknown(let name): "\(name) is no parameter of this model"
      case .shape(let name, let expected, let actual):
        "\(name) has shape \(actual), expected \(expected)"
      case .type(let name, let type): "\(name) has element type \(type)"
      }
    }
  }

  /// What sort of failure this is; `nil` when the caller cancelled or must first remove a file.
  public var kind: WeightFileError.Kind? {
    switch self {
    case .weights(let error): error.kind
    case .missingFile: .noInput
    case .configuration, .inventory, .recipe, .adapter, .calibration, .notFinite, .differs:
      .badData
    case .exists, .cancelled: nil
    }
  }

  /// One sentence that names the file and the reason.
  public var description: String {
    switch self {
    case .weights(let error): return error.description
    case .configuration(let path, let error): return "\(path): \(error)"
    case .missingFile(let path, let name): return "\(path): holds no \(name)."
    case .inventory(let path, let faults):
      let shown = faults.prefix(3).map(\.description).joined(separator: "; ")
      let more = faults.count > 3 ? "; and \(faults.count - 3) more" : ""
      return "\(path): its tensors do not fit its config.json: \(shown)\(more)."
    case .recipe(let path, let reason): return "\(path): not a valid recipe: \(reason)."
    case .adapter(let path, let reason): return "\(path): cannot be merged: \(reason)."
    case .calibration(let name, let reason):
      return "\(name): cannot be used to calibrate: \(reason)"
    case .notFinite(let path, let tensor):
      return "\(path): tensor \"\(tensor)\" holds NaN, an infinity or a number beyond 1e15."
    case .exists(let path): return "\(path): exists already; --force replaces it."
    case .differs(let path, let tensor, let reason):
      return "\(path): \"\(tensor)\" differs from its source: \(reason)."
    case .cancelled: return "Stopped; the same command resumes."
    }
  }
}
