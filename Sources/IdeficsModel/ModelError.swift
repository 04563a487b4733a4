// Ways in which a model cannot be bound or a pass cannot be run.

import WeightFiles

/// A failure of loading or of a forward pass.
public enum ModelError: Error, CustomStringConvertible {
  /// A tensor has another shape than the configuration demands.
  case wrongShape(tensor: String, expected: [Int], actual: [Int])
  /// The weights could not be read.
  case weights(WeightFileError)
  /// A token id outside the vocabulary.
  case invalidToken(Int32, vocabulary: Int)
  /// More tokens in one step than the model was sized for.
  case stepTooLarge(tokens: Int, limit: Int)
  /// An image whose size is not a multiple of the patch size, or not the size the model was built for.
  case invalidImageSize(height: Int, width: Int)
  /// The cancellation flag was raised.
  case cancelled

  /// One sentence for the user.
  public var description: String {
    switch self {
    case .wrongShape(let tensor, let expected, let actual):
      "Tensor \(tensor) has shape \(actual) where the configuration demands \(expected)."
    case .weights(let error):
      error.description
    case .invalidToken(let token, let vocabulary):
      "Token id \(token) is outside the vocabulary of \(vocabulary)."
    case .stepTooLarge(let tokens, let limit):
      "A step of \(tokens) tokens exceeds the limit of \(limit)."
    case .invalidImageSize(let height, let width):
      "An image of \(width)×\(height) pixels does not fit the vision tower."
    case .cancelled:
      "The request was cancelled."
    }
  }
}
