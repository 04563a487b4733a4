// Multiple choice by log-probability: the model says nothing, its probability of each choice decides.

/// How a model finds the choices of one question.
public struct ChoiceScores: Sendable, Equatable, Codable {
  /// Sum of the log-probabilities of each choice's tokens after the prompt.
  public var logprobs: [Double]
  /// Length of each choice in UTF-8 bytes, its leading space not counted.
  public var bytes: [Int]

  /// Scores of the choices in order.
  public init(logprobs: [Double], bytes: [Int]) {
    self.logprobs = logprobs
    self.bytes = bytes
  }

  /// The most probable choice; the first of several.
  public var best: Int? { Self.firstLargest(logprobs) }

  /// The most probable choice a byte: longer choices are not at a disadvantage.
  public var bestPerByte: Int? {
    Self.firstLargest(zip(logprobs, bytes).map { $0 / Double(max($1, 1)) })
  }

  private static func firstLargest(_ values: [Double]) -> Int? {
    values.indices.reduce(nil) { best, index in
      guard let best else { return index }
      return values[index] > values[best] ? index : best
    }
  }
}
