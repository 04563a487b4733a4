// Which solved examples precede each question: drawn at random from a support set, by a seed, never the question
// itself.

import Idefix

/// Solved examples for questions.
public struct FewShot: Sendable {
  private let support: [EvaluationItem]
  private let count: Int
  private let seed: UInt64

  /// No examples.
  public static let none = FewShot(support: [], count: 0, seed: 0)

  /// `count` examples before each question.
  ///
  /// - Throws: If the support set is too small.
  public init(
    from support: EvaluationDataset,
    count: Int,
    seed: UInt64
  ) throws(EvaluationError) {
    let solved = support.items.filter { !$0.answers.isEmpty }
    guard solved.count > count else {
      throw .unsuitable(reason: "\(support.paths[0]) has fewer than \(count + 1) solved examples")
    }
    self.init(support: solved, count: count, seed: seed)
  }

  private init(support: [EvaluationItem], count: Int, seed: UInt64) {
    self.support = support
    self.count = count
    self.seed = seed
  }

  /// The examples before the question at `index` of the data set.
  public func examples(at index: Int, excluding id: String) -> [EvaluationItem] {
    guard count > 0 else { return [] }
    let random = RandomStream(seed: seed, sequence: index)
    var chosen: [Int] = []
    var draw = 0
    while chosen.count < count {
      let pick = min(Int(random.uniform(at: draw) * Double(support.count)), support.count - 1)
      draw += 1
      if !chosen.contains(pick), support[pick].id != id { chosen.append(pick) }
    }
    return chosen.map { support[$0] }
  }
}
