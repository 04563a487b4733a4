// Regular expressions that a finite automaton can match: literals, `.`, classes, groups, `|`, `* + ? {n,m}`, escapes
// \d \w \s \D \W \S \n \t \r \f \v \0 \xHH \uHHHH and escaped punctuation. The whole answer has to match; `^` and `$` are allowed at the
// ends only. Refuses everything else (backreferences, look-around, lazy and possessive marks, anchors inside),
// nesting deeper than 64 and counts above 1000.

/// Reads a regular expression.
package struct RegexParser {
  /// Deepest nesting of groups.
  package static let maximumDepth = 64
  /// Largest count in `{n,m}`.
  package static let maximumCount = 1000
  /// Longest expression in UTF-8 bytes.
  package static let maximumBytes = 64 << 10

  private let scalars: [Unicode.Scalar]
  private var index = 0
  private var depth = 0

  /// The pattern of an expression.
  package static func parse(_ expression: String) throws(EngineError) -> Pattern {
    guard expression.utf8.count <= maximumBytes else {
      throw .invalidConstraint(reason: "the regular expression is too long")
    }
    var scalars = Array(expression.unicodeScalars)
    if scalars.first == "^" { scalars.removeFirst() }
    if scalars.last == "$",
      scalars.dropLast().reversed().prefix(while: { $0 == "\\" }).count % 2 == 0
    {
      scalars.removeLast()
    }
    var parser = RegexParser(scalars: scalars)
    let pattern = try parser.choice()
    guard parser.index == scalars.count else { throw parser.refusal("has an unbalanced )") }
    return pattern
  }

  private init(scalars: [Unicode.Scalar]) { self.scalars = scalars }

  private mutating func choice() throws(EngineError) -> Pattern {
    var options = [try sequence()]
    while take("|") { options.append(try sequence()) }
    return options.count == 1 ? options[0] : .choice(options)
  }

  private mutating func sequence() throws(EngineError) -> Pattern {
    var items: [Pattern] = []
    while let next = peek, next != "|", next != ")" {
      items.append(try quantified())
    }
    return items.count == 1 ? items[0] : items.isEmpty ? .empty : .sequence(items)
  }

  private mutating func quantified() throws(EngineError) -> Pattern {
    let item = try atom()
    guard let (minimum, maximum) = try quantifier() else { return item }
    if let next = peek, "*+?{".unicodeScalars.contains(next) {
      throw refusal("has a quantifier after a quantifier")
    }
    return .repeated(item, minimum: minimum, maximum: maximum)
  }

  private mutating func quantifier() throws(EngineError) -> (Int, Int?)? {
    if take("*") { return (0, nil) }
    if take("+") { return (1, nil) }
    if take("?") { return (0, 1) }
    guard take("{") else { return nil }
    guard let minimum = try count() else { throw refusal("has a { without a count") }
    var maximum: Int? = minimum
    if take(",") { maximum = try count() }
    guard take("}") else { throw refusal("has an unclosed {") }
    if let maximum, maximum < minimum { throw refusal("has a count that ends before it begins") }
    return (minimum, maximum)
  }

  private mutating func count() throws(EngineError) -> Int? {
    var value: Int?
    while let digit = peek.flatMap({ Int(String($0)) }), peek?.isASCII == true {
      index += 1
      value = (value ?? 0) * 10 + digit
      guard value ?? 0 <= Self.maximumCount else {
        throw refusal("has a count above \(Self.maximumCount)")
      }
    }
    return value
  }

  private mutating func atom() throws(EngineError) -> Pattern {
    guard let next = peek else { throw refusal("ends too early") }
    index += 1
    switch next {
    case "(": return try group()
    case "[": return .scalars(try set())
    case ".": return .scalars(Pattern.complement([0x0a...0x0a]))
    case "\\": return .scalars(try escape())
    case "*", "+", "?", "{": throw refusal("has a quantifier with nothing before it")
    case "^", "$": throw refusal("has an anchor inside")
    default: return .scalars([next.value...next.value])
    }
  }

  private mutating func group() throws(EngineError) -> Pattern {
    guard depth < Self.maximumDepth else { throw refusal("nests too deeply") }
    depth += 1
    defer { depth -= 1 }
    if take("?") {
      guard take(":") else { throw refusal("uses a group that is not supported") }
    }
    let pattern = try choice()
    guard take(")") else { throw refusal("has an unbalanced (") }
    return pattern
  }

  private mutating func set() throws(EngineError) -> [ClosedRange<UInt32>] {
    let isNegated = take("^")
    var ranges: [ClosedRange<UInt32>] = []
    var isFirst = true
    while let next = peek, next != "]" || isFirst {
      isFirst = false
      let low = try member()
      guard take("-") else {
        ranges += low
        continue
      }
      if peek == "]" {
        ranges += low + [0x2d...0x2d]
        continue
      }
      let high = try member()
      guard low.count == 1, high.count == 1, low[0].count == 1, high[0].count == 1,
        low[0].lowerBound <= high[0].lowerBound
      else { throw refusal("has a range that is not in order") }
      ranges.append(low[0].lowerBound...high[0].lowerBound)
    }
    guard take("]") else { throw refusal("has an unclosed [") }
    let result = isNegated ? Pattern.complement(ranges) : Pattern.normalized(ranges)
    guard !result.isEmpty else { throw refusal("has a class without members") }
    return result
  }

  private mutating func member() throws(EngineError) -> [ClosedRange<UInt32>] {
    guard let next = peek else { throw refusal("has an unclosed [") }
    index += 1
    return next == "\\" ? try escape() : [next.value...next.value]
  }

  private mutating func escape() throws(EngineError) -> [ClosedRange<UInt32>] {
    guard let next = peek else { throw refusal("ends with a \\") }
    index += 1
    let digits: [ClosedRange<UInt32>] = [0x30...0x39]
    let word = digits + [0x41...0x5a, 0x5f...0x5f, 0x61...0x7a]
    let space: [ClosedRange<UInt32>] = [0x09...0x0d, 0x20...0x20]
    switch next {
    case "d": return digits
    case "D": return Pattern.complement(digits)
    case "w": return word
    case "W": return Pattern.complement(word)
    case "s": return space
    case "S": return Pattern.complement(space)
    case "n": return [0x0a...0x0a]
    case "t": return [0x09...0x09]
    case "r": return [0x0d...0x0d]
    case "f": return [0x0c...0x0c]
    case "v": return [0x0b...0x0b]
    case "0": return [0...0]
    case "x": return try hexadecimal(2)
    case "u": return try hexadecimal(4)
    case _ where next.isASCII && !next.properties.isAlphabetic && !("0"..."9").contains(next):
      return [next.value...next.value]
    default: throw refusal("uses an escape that is not supported")
    }
  }

  private mutating func hexadecimal(_ count: Int) throws(EngineError) -> [ClosedRange<UInt32>] {
    let digits = scalars[index..<min(index + count, scalars.count)].map(String.init).joined()
    guard digits.unicodeScalars.count == count, digits.allSatisfy(\.isHexDigit),
      let value = UInt32(digits, radix: 16), Unicode.Scalar(value) != nil
    else { throw refusal("has a hexadecimal escape that is no character") }
    index += count
    return [value...value]
  }

  private mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard peek == scalar else { return false }
    index += 1
    return true
  }

  private var peek: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

  private func refusal(_ what: String) -> EngineError {
    .invalidConstraint(reason: "the regular expression \(what)")
  }
}
