// Words of a caption, as the caption metrics count them: the Penn Treebank rules that matter for captions, in lower
// case, without punctuation. The published scores use Stanford's PTBTokenizer; Tools/evaluation compares the two.
// Not attempted: currency spelt as other currency, abbreviations outside the list, addresses with odd characters.

/// Splits captions into words.
public enum CaptionTokenizer {
  /// The words of a caption.
  ///
  /// Lower case; clitics apart (`it 's`, `do n't`); hyphened words, decimal numbers, times, fractions and
  /// dotted abbreviations whole; brackets as `-lrb-` and so on; single marks of `. , ; : ? ! - ' " ``
  /// and dashes dropped.
  public static func words(of caption: String) -> [String] {
    var plain = String.UnicodeScalarView()
    for scalar in caption.lowercased().unicodeScalars {
      switch scalar {
      case "\u{2018}", "\u{2019}": plain.append("'")
      case "\u{201c}", "\u{201d}", "\u{2013}", "\u{2014}", "\u{2026}": plain.append(" ")
      default: plain.append(scalar)
      }
    }
    let chunks = plain.split { $0.properties.isWhitespace }.map(Array.init)
    return chunks.indices.flatMap { index in
      let nextIsNumber =
        index + 1 < chunks.count && chunks[index + 1].first.map(isDigit) ?? false
      return words(ofChunk: chunks[index], nextIsNumber: nextIsNumber)
    }
  }

  /// The words of a stretch without white space.
  private static func words(ofChunk chunk: [Unicode.Scalar], nextIsNumber: Bool) -> [String] {
    var words: [String] = []
    var index = 0
    while index < chunk.count {
      if isAlphanumeric(chunk[index]) || startsYear(chunk, index) {
        let end = endOfWord(chunk, from: index, nextIsNumber: nextIsNumber)
        words += clitics(of: string(chunk[index..<end]))
        index = end
        continue
      }
      if chunk[index] == "'" {
        index += 1
        let rest = string(chunk[index...].prefix { isAlphanumeric($0) })
        if clitic.contains(rest) {
          // An apostrophe at the start of a chunk: "a woman 's hat".
          words.append("'" + rest)
          index += rest.unicodeScalars.count
        } else if rest == "tis" || rest == "twas" {
          words += ["'t", String(rest.dropFirst())]
          index += rest.unicodeScalars.count
        }
        continue
      }
      if chunk[index] == "?" || chunk[index] == "!" {
        let run = chunk[index...].prefix { $0 == "?" || $0 == "!" }
        if run.count > 1 { words.append(string(run)) }
        index += run.count
        continue
      }
      if let bracket = brackets[chunk[index]] {
        words.append(bracket)
      } else if !dropped.contains(chunk[index]) {
        words.append(String(Character(chunk[index])))
      }
      index += 1
    }
    return words
  }

  /// End of the word that starts at `start`: marks that stand between its letters or digits belong to it.
  private static func endOfWord(
    _ chunk: [Unicode.Scalar],
    from start: Int,
    nextIsNumber: Bool
  ) -> Int {
    var end = start + 1
    while end < chunk.count {
      if isAlphanumeric(chunk[end]) {
        end += 1
        continue
      }
      let joins =
        end + 1 < chunk.count && isAlphanumeric(chunk[end + 1])
        && (".-/_&@".unicodeScalars.contains(chunk[end])
          || (chunk[end] == "'" && !isDigit(chunk[end - 1]))
          || (",:".unicodeScalars.contains(chunk[end]) && isDigit(chunk[end - 1])
            && isDigit(chunk[end + 1])))
      guard joins else { break }
      end += 1
    }
    // The dot of an abbreviation stays with it.
    if end < chunk.count, chunk[end] == ".", end + 1 == chunk.count || chunk[end + 1] != "." {
      let word = string(chunk[start..<end])
      let letters = word.split(separator: ".")
      let isDotted = letters.allSatisfy { $0.count == 1 && $0 >= "a" && $0 <= "z" }
      if (isDotted && letters.count > 1) || abbreviations.contains(word)
        || (word == "no" && nextIsNumber)
      {
        end += 1
      }
    }
    return end
  }

  /// The parts of a word: `couldn't've` has three.
  private static func clitics(of word: String) -> [String] {
    if let parts = assimilated[word] { return parts }
    if let mark = word.lastIndex(of: "'"), mark > word.startIndex {
      let tail = word[word.index(after: mark)...]
      if tail == "t", word[..<mark].last == "n", word[..<mark].count > 1 {
        let stem = String(word[..<word.index(before: mark)])
        return clitics(of: stem) + ["n't"]
      }
      if clitic.contains(String(tail)) {
        return clitics(of: String(word[..<mark])) + ["'" + tail]
      }
    }
    return [word]
  }

  private static let clitic: Set = ["s", "m", "d", "re", "ve", "ll"]
  private static let assimilated = [
    "cannot": ["can", "not"], "gonna": ["gon", "na"], "wanna": ["wan", "na"],
    "gotta": ["got", "ta"], "lemme": ["lem", "me"], "gimme": ["gim", "me"], "y'all": ["y'", "all"],
  ]
  private static let abbreviations: Set = [
    "mr", "mrs", "ms", "dr", "prof", "st", "ave", "mt", "jr", "sr", "inc", "co", "corp", "ltd",
    "etc",
    "vs", "ft",
  ]
  private static let brackets: [Unicode.Scalar: String] = [
    "(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-",
  ]
  private static let dropped = Set(".,:;-\"`".unicodeScalars)

  private static func startsYear(_ chunk: [Unicode.Scalar], _ index: Int) -> Bool {
    chunk[index] == "'" && chunk.count - index >= 4 && isDigit(chunk[index + 1])
      && isDigit(chunk[index + 2]) && chunk[index + 3] == "s"
  }

  private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }

  private static func isAlphanumeric(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isAlphabetic || scalar.properties.numericType != nil
      || scalar.properties.generalCategory == .nonspacingMark
  }

  private static func string(_ scalars: some Sequence<Unicode.Scalar>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
  }
}
