// The text normalisation of the VQA challenge, step for step, oddities included: published accuracies depend on
// them. Source: Antol et al., "VQA: Visual Question Answering", 2015, and the evaluation script published with VQA v2.

/// Answers as the VQA evaluation compares them.
public enum VQANormalization {
  /// Punctuation, then numbers, articles and contractions.
  public static func normalized(_ answer: String) -> String {
    withoutArticles(withoutPunctuation(answer))
  }

  /// Line breaks and tabs become spaces, and the ends are trimmed: what happens to every answer first.
  public static func trimmed(_ answer: String) -> String {
    let scalars = answer.unicodeScalars.map { $0 == "\n" || $0 == "\t" ? " " : $0 }
    guard let first = scalars.firstIndex(where: { !isSpace($0) }),
      let last = scalars.lastIndex(where: { !isSpace($0) })
    else { return "" }
    return string(scalars[first...last])
  }

  /// Removes or blanks punctuation.
  ///
  /// A mark that has a space on one side anywhere in the text is removed everywhere, any other becomes a
  /// space; a comma between digits anywhere makes every mark be removed. Full stops that no digit follows
  /// are removed, the first 32 of them (the published script passes a flag where a count belongs).
  static func withoutPunctuation(_ text: String) -> String {
    let original = Array(text.unicodeScalars)
    let hasDigitComma = original.indices.dropFirst().dropLast().contains {
      original[$0] == "," && isDigit(original[$0 - 1]) && isDigit(original[$0 + 1])
    }
    var besideSpace: Set<Unicode.Scalar> = []
    for (left, right) in zip(original, original.dropFirst()) {
      if left == " " { besideSpace.insert(right) }
      if right == " " { besideSpace.insert(left) }
    }
    let blanked = original.compactMap { scalar -> Unicode.Scalar? in
      guard punctuation.contains(scalar) else { return scalar }
      return hasDigitComma || besideSpace.contains(scalar) ? nil : " "
    }
    var result: [Unicode.Scalar] = []
    var removed = 0
    for (index, scalar) in blanked.enumerated() {
      let digitFollows = index + 1 < blanked.count && isDigit(blanked[index + 1])
      if scalar == ".", !digitFollows, removed < 32 {
        removed += 1
      } else {
        result.append(scalar)
      }
    }
    return string(result)
  }

  /// Lower case, number words as digits, no articles, contractions with their apostrophes.
  static func withoutArticles(_ text: String) -> String {
    text.lowercased().unicodeScalars.split(whereSeparator: isSpace)
      .map { word in numbers[String(word)] ?? String(word) }
      .filter { !articles.contains($0) }
      .map { contractions[$0] ?? $0 }
      .joined(separator: " ")
  }

  private static let punctuation = Set(";/[]\"{}()=+\\_-><@`,?!".unicodeScalars)
  private static let articles: Set = ["a", "an", "the"]
  private static let numbers = [
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
    "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10",
  ]

  /// Misspelt form to contraction.
  ///
  /// Most misspelt forms are the contraction without its apostrophe, or with one of its two; the
  /// exceptions are spelt out.
  private static let contractions: [String: String] = {
    var table = [
      "somebody'd": "somebodyd", "ow's'at": "'ow's'at", "'ows'at": "'ow's'at",
      "'ow'sat": "'ow's'at",
      "yall'll": "y'all'll", "y'allll": "y'all'll", "yall'd've": "y'all'd've",
      "y'alld've": "y'all'd've", "y'all'dve": "y'all'd've",
    ]
    let oneApostrophe = """
      ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd \
      how'll how's isn't it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock \
      oughtn't shan't should've shouldn't somebody'll somebody's someone'd someone'll someone's \
      something'd something'll that's there'd there're there's they'd they'll they're they've 'twas \
      wasn't we've weren't what'll what're what's what've when's where'd where's where've who'd who'll \
      who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've
      """
    for word in oneApostrophe.split(separator: " ") {
      table[word.filter { $0 != "'" }] = String(word)
    }
    let twoApostrophes = """
      couldn't've hadn't've he'd've it'd've mightn't've she'd've shouldn't've somebody'd've \
      someone'd've something'd've there'd've they'd've we'd've who'd've wouldn't've you'd've
      """
    for word in twoApostrophes.split(separator: " ") {
      let parts = word.split(separator: "'")
      table["\(parts[0])\(parts[1])'\(parts[2])"] = String(word)
      table["\(parts[0])'\(parts[1])\(parts[2])"] = String(word)
    }
    return table
  }()

  private static func isDigit(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.generalCategory == .decimalNumber
  }

  private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isWhitespace || (0x1c...0x1f).contains(scalar.value)
  }

  private static func string(_ scalars: some Sequence<Unicode.Scalar>) -> String {
    var view = String.UnicodeScalarView()
    view.append(contentsOf: scalars)
    return String(view)
  }
}
