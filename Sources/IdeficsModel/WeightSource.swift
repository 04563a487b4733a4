// What the model asks of its weights beyond their names: which are needed now. Where everything is in
// memory, that is nothing.

import Tensors
import WeightFiles

/// Where a model's weights come from.
public protocol WeightSource: TensorSource {
  /// Returns when the matrices of `section` are in memory; they stay until `release`.
  ///
  /// One section at a time; called by the thread that runs the model, at the border of a layer.
  /// - Throws: `ModelError.weights` when they cannot be read.
  func acquire(_ section: WeightSection) throws(ModelError)

  /// Says that the matrices of `section` are not needed for now.
  func release(_ section: WeightSection)
}

extension WeightSource {
  /// All weights are in memory.
  public func acquire(_ section: WeightSection) throws(ModelError) {}

  /// All weights stay in memory.
  public func release(_ section: WeightSection) {}
}

extension WeightSource {
  /// Runs `body` while the matrices of `section` are in memory.
  func use(_ section: WeightSection, _ body: () -> Void) throws(ModelError) {
    try acquire(section)
    defer { release(section) }
    body()
  }
}

extension IdfxFile: WeightSource {}
