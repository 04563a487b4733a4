// The soft accuracy of VQA v2: an answer is right as far as humans gave it too.

/// Ten-annotator soft accuracy, as the VQA v2 evaluation computes it.
public enum VQAAccuracy {
  /// Accuracy of one answer, 0 to 1.
  ///
  /// The mean, over each annotator left out in turn, of `min(1, matches / 3)` among the others. Texts are
  /// normalised (``VQANormalization``) unless all annotators gave the same answer: the published script
  /// compares such answers as they are.
  /// VQA v2 has ten annotations a question; none gives 0.
  public static func score(_ answer: String, annotations: [String]) -> Double {
    guard !annotations.isEmpty else { return 0 }
    var given = VQANormalization.trimmed(answer)
    var truths = annotations.map(VQANormalization.trimmed)
    if Set(truths).count > 1 {
      truths = truths.map(VQANormalization.normalized)
      given = VQANormalization.normalized(given)
    }
    let matches = truths.count { $0 == given }
    let sum = truths.reduce(0.0) { sum, truth in
      sum + min(1, Double(matches - (truth == given ? 1 : 0)) / 3)
    }
    return sum / Double(truths.count)
  }
}
