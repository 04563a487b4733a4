// Corpus BLEU-4. Source: Papineni et al., "BLEU: a method for automatic evaluation of machine translation", 2002;
// closest reference length, no smoothing, as in the COCO caption evaluation.

import Foundation

/// What one sentence adds to a corpus BLEU: sums of these decide the score.
public struct BLEUStatistics: Sendable, Equatable {
  /// N-grams of order 1 to 4 that a reference has too, clipped.
  public var matches = [Double](repeating: 0, count: 4)
  /// N-grams of order 1 to 4.
  public var totals = [Double](repeating: 0, count: 4)
  /// Words of the candidate.
  public var length = 0.0
  /// Words of the reference whose length is closest; the shorter of two as close.
  public var referenceLength = 0.0

  /// Statistics of one candidate.
  public init(candidate: [String], references: [[String]]) {
    var vocabulary = Vocabulary()
    let counted = NGramCounts(vocabulary.ids(of: candidate))
    var largest: [NGram: Int] = [:]
    for reference in references {
      for (ngram, count) in NGramCounts(vocabulary.ids(of: reference)).counts {
        largest[ngram] = max(largest[ngram] ?? 0, count)
      }
    }
    for (ngram, count) in counted.counts {
      totals[ngram.order - 1] += Double(count)
      matches[ngram.order - 1] += Double(min(count, largest[ngram] ?? 0))
    }
    length = Double(candidate.count)
    let lengths = references.map(\.count)
    let closest = lengths.min {
      let left = abs($0 - candidate.count)
      let right = abs($1 - candidate.count)
      return left == right ? $0 < $1 : left < right
    }
    referenceLength = Double(closest ?? 0)
  }

  /// The ten sums in a row, for the bootstrap.
  public var row: [Double] { matches + totals + [length, referenceLength] }

  /// BLEU-4, 0 to 1, of a row of sums.
  public static func score(ofSums row: [Double]) -> Double {
    guard row.count == 10, row[0..<4].allSatisfy({ $0 > 0 }) else { return 0 }
    var logarithm = 0.0
    for order in 0..<4 { logarithm += log(row[order] / row[4 + order]) / 4 }
    return exp(logarithm + min(0, 1 - row[9] / row[8]))
  }
}
