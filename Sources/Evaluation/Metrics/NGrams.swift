// N-grams of one to four words for the caption metrics. Counts are kept sorted: sums over them must not
// depend on the order of a hash table.

/// Numbers for words, so that n-grams compare as integers.
struct Vocabulary {
  private var ids: [String: Int32] = [:]

  /// The numbers of `words`, from 1; words not met before get the next numbers.
  mutating func ids(of words: [String]) -> [Int32] {
    words.map { word in
      if let id = ids[word] { return id }
      let id = Int32(ids.count + 1)
      ids[word] = id
      return id
    }
  }
}

/// One to four words; unused places hold 0.
struct NGram: Hashable, Comparable {
  private let words: SIMD4<Int32>

  init(_ ids: ArraySlice<Int32>) {
    var words = SIMD4<Int32>()
    for (place, id) in zip(words.indices, ids) { words[place] = id }
    self.words = words
  }

  /// Number of words, 1 to 4.
  var order: Int { words.indices.count { words[$0] != 0 } }

  static func < (left: NGram, right: NGram) -> Bool {
    for place in left.words.indices where left.words[place] != right.words[place] {
      return left.words[place] < right.words[place]
    }
    return false
  }
}

/// The n-grams of one sentence.
struct NGramCounts {
  static let maximumOrder = 4

  /// Words of the sentence.
  let length: Int
  /// Each n-gram and how often it occurs, sorted.
  let counts: [(ngram: NGram, count: Int)]

  init(_ words: [Int32]) {
    length = words.count
    var ngrams: [NGram] = []
    for order in 1...Self.maximumOrder where order <= words.count {
      for start in 0...(words.count - order) {
        ngrams.append(NGram(words[start..<(start + order)]))
      }
    }
    ngrams.sort()
    var counts: [(ngram: NGram, count: Int)] = []
    for ngram in ngrams {
      if counts.last?.ngram == ngram {
        counts[counts.count - 1].count += 1
      } else {
        counts.append((ngram, 1))
      }
    }
    self.counts = counts
  }
}
