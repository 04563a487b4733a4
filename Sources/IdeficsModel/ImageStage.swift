// The parts of the pass over one image, for whoever wants to know where its time goes.

/// A stage of encoding an image, in order.
public enum ImageStage: Sendable, CaseIterable {
  /// The vision tower.
  case vision
  /// The resampler; over at once in a model without one.
  case resampler
  /// Keys and values of every cross block.
  case crossKeysValues
}
