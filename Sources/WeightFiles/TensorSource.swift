// What a model needs from its weights: packed matrices and dense tensors by name.

import Tensors

/// Weights by their Hugging Face names.
public protocol TensorSource: Sendable {
  /// The packed matrix called `name`.
  func packed(_ name: String) throws(WeightFileError) -> PackedMatrix
  /// The dense float32 tensor called `name`.
  func dense(_ name: String) throws(WeightFileError) -> DenseTensor
  /// Whether there is a tensor called `name`.
  func contains(_ name: String) -> Bool
  /// Extents of the tensor called `name`, or `nil`.
  func shape(of name: String) -> Shape?
}
