// CIDEr-D, the consensus metric of captioning. Source: Vedantam et al., "CIDEr: Consensus-based Image Description
// Evaluation", 2015, in the variant of the COCO caption evaluation: clipped counts, Gaussian length penalty with
// sigma 6, lengths counted in bigrams, scores times 10.

import Foundation

/// CIDEr-D of captions against references.
///
/// The inverse document frequencies come from the references of the very images that are scored (an n-gram's
/// document frequency is the number of images with it in any reference), so scores of different sets do
/// not compare, and a single image scores 0.
public enum CIDErD {
  /// The score of each image; their mean is the corpus score.
  ///
  /// Each item has the candidate's words and each reference's words.
  public static func scores(_ items: [(candidate: [String], references: [[String]])]) -> [Double] {
    var vocabulary = Vocabulary()
    let counted = items.map { item in
      (
        candidate: NGramCounts(vocabulary.ids(of: item.candidate)),
        references: item.references.map { NGramCounts(vocabulary.ids(of: $0)) }
      )
    }
    var documents: [NGram: Int] = [:]
    for item in counted {
      for ngram in Set(item.references.flatMap { $0.counts.map(\.ngram) }) {
        documents[ngram, default: 0] += 1
      }
    }
    let weighting = Weighting(documents: documents, images: items.count)
    return counted.map { item in
      guard !item.references.isEmpty else { return 0 }
      let candidate = weighting.vector(item.candidate)
      let sum = item.references.reduce(0.0) { $0 + candidate.similarity(to: weighting.vector($1)) }
      return 10 * sum / Double(item.references.count)
    }
  }

  /// How n-grams weigh: term frequency times inverse document frequency.
  private struct Weighting {
    let documents: [NGram: Int]
    let logImages: Double

    init(documents: [NGram: Int], images: Int) {
      self.documents = documents
      logImages = log(Double(max(images, 1)))
    }

    func vector(_ sentence: NGramCounts) -> Vector {
      var vector = Vector()
      for (ngram, count) in sentence.counts {
        let order = ngram.order - 1
        let weight = Double(count) * (logImages - log(Double(max(1, documents[ngram] ?? 0))))
        vector.weights.append((ngram, order, weight))
        vector.squaredNorms[order] += weight * weight
        if order == 1 { vector.bigrams += count }
      }
      return vector
    }
  }

  private struct Vector {
    /// Sorted by n-gram.
    var weights: [(ngram: NGram, order: Int, weight: Double)] = []
    var squaredNorms = [Double](repeating: 0, count: NGramCounts.maximumOrder)
    var bigrams = 0

    /// Mean over the orders of the clipped cosine, with the length penalty.
    func similarity(to reference: Vector) -> Double {
      var products = [Double](repeating: 0, count: NGramCounts.maximumOrder)
      var other = reference.weights[...]
      for (ngram, order, weight) in weights {
        other = other.drop { $0.ngram < ngram }
        guard let match = other.first, match.ngram == ngram else { continue }
        products[order] += min(weight, match.weight) * match.weight
      }
      let sigma = 6.0
      let difference = Double(bigrams - reference.bigrams)
      let penalty = exp(-difference * difference / (2 * sigma * sigma))
      var sum = 0.0
      for order in products.indices {
        let norms = squaredNorms[order].squareRoot() * reference.squaredNorms[order].squareRoot()
        sum += (norms == 0 ? products[order] : products[order] / norms) * penalty
      }
      return sum / Double(NGramCounts.maximumOrder)
    }
  }
}
