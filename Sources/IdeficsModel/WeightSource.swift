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

  /// Says that text goes on without images, whose sections need not stay; none is acquired.
  func leaveImages()
}

extension WeightSource {
  /// All weights are in memory.
  public func acquire(_ section: WeightSection) throws(ModelError) {}

  /// All weights stay in memory.
  public func release(_ section: WeightSection) {}

  /// All weights stay in memory.
  public func leaveImages() {}
}

extension WeightSource {
  /// Runs `body` while the matrices of `section` are in memory.
  ///
  /// - Throws: `ModelError.cancelled` if `cancellation` is raised before they are asked for.
  func use(
    _ section: WeightSection,
    unless cancellation: CancellationFlag,
    _ body: () throws(ModelError) -> Void
  ) throws(ModelError) {
    guard !cancellation.isRaised else { throw .cancelled }
    try acquire(section)
    defer { release(section) }
    try body()
  }
}

extension IdfxFile: WeightSource {}
