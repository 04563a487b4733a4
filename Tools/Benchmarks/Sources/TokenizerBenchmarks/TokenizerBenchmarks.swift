// `tokenizer-benchmarks`: how long a tokenizer takes for texts that are long, strange or made to be slow, and
// whether that grows with their length only.

import Foundation
import Tokenizers

/// A kind of text.
struct Sample: Sendable {
  let name: String
  /// Whether special tokens are looked for.
  var parsesSpecial = false
  /// What comes next, given a random number.
  let next: @Sendable (UInt64) -> [UInt8]

  /// About `count` bytes of it, always the same.
  func text(_ count: Int) -> [UInt8] {
    var state: UInt64 = 1
    var text: [UInt8] = []
    text.reserveCapacity(count + 64)
    while text.count < count {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      text += next(state >> 33)
    }
    return text
  }

  private static let words = """
    the of and to in is was for on that with as it by at from are this be an or which one two they have \
    picture shows cat dog house behind people standing street photograph colour background wearing holding \
    transformer attention resampler quantisation Jahrhundert température niño 東京 сегодня
    """.split(separator: " ").map(String.init)

  private static func scalar(_ value: UInt64) -> [UInt8] {
    Array(String(Unicode.Scalar(UInt32(value)) ?? " ").utf8)
  }

  static let all = [
    Sample(name: "prose") { random in
      let word = words[Int(random % UInt64(words.count))]
      let end = [", ", ".\n"] + [String](repeating: " ", count: 7)
      return Array((word + end[Int(random >> 20 % 9)]).utf8)
    },
    Sample(name: "letters without spaces") { [UInt8(ascii: "a") + UInt8($0 % 26)] },
    Sample(name: "numbers and code") { Array("x[\($0 % 1000)] = f(\($0 % 7), \"\($0)\");\n".utf8) },
    Sample(name: "one letter") { _ in [UInt8](repeating: UInt8(ascii: "a"), count: 64) },
    Sample(name: "spaces") { _ in [UInt8](repeating: UInt8(ascii: " "), count: 64) },
    Sample(name: "Chinese") { scalar(0x4e00 + $0 % 20_000) },
    Sample(name: "emoji") { scalar(0x1f300 + $0 % 1000) },
    Sample(name: "NUL") { _ in [UInt8](repeating: 0, count: 64) },
    Sample(name: "lone surrogates") { [0xed, 0xa0 + UInt8($0 % 32), 0x80 + UInt8($0 >> 8 % 64)] },
    Sample(name: "random bytes") { [UInt8($0 % 256)] },
    Sample(name: "special tokens as text") { _ in Array("<image></s>".utf8) },
    Sample(name: "special tokens", parsesSpecial: true) { _ in Array("<image></s>".utf8) },
    Sample(name: "almost special tokens", parsesSpecial: true) { _ in
      Array("<fake_token_around_imag".utf8)
    },
  ]
}

@main enum TokenizerBenchmarks {
  private static let usage = """
    Usage: swift run -c release --package-path Tools/Benchmarks TokenizerBenchmarks FOLDER [TEXT]
    FOLDER holds tokenizer.json or tokenizer.model; TEXT is one of the kinds printed. Exits with 1 when 10 MB of a
    kind take more than 1 s of processor time, or a byte of 64 MB more than 1.5 times as much as one of 10 MB.
    """

  static func main() throws {
    let arguments = CommandLine.arguments.dropFirst()
    guard let folder = arguments.first else {
      FileHandle.standardError.write(Data((usage + "\n").utf8))
      exit(64)
    }
    var files: [String: [UInt8]] = [:]
    for name in Tokenizer.fileNames {
      let file = URL(filePath: folder).appending(path: name)
      if let data = try? Data(contentsOf: file) { files[name] = Array(data) }
    }
    let tokenizer = try Tokenizer(files: files)
    var failures = 0
    for sample in Sample.all where arguments.dropFirst().first.map({ $0 == sample.name }) ?? true {
      let long = sample.text(64_000_000)
      let short = Array(long.prefix(10_000_000))
      // The lesser of two: the machine may be busy at one time.
      let seconds = min(time(tokenizer, short, sample), time(tokenizer, short, sample))
      let longer = time(tokenizer, long, sample)
      let isGood = seconds <= 1 && longer <= 1.5 * 6.4 * seconds
      if !isGood { failures += 1 }
      print(
        sample.name.padding(toLength: 24, withPad: " ", startingAt: 0)
          + String(format: "%6.3f s for 10 MB, %6.3f s for 64 MB", seconds, longer)
          + (isGood ? "" : "  too slow")
      )
    }
    if failures > 0 { exit(1) }
  }

  private static func time(_ tokenizer: Tokenizer, _ text: [UInt8], _ sample: Sample) -> Double {
    let start = clock()
    let tokens = tokenizer.encode(text, parseSpecial: sample.parsesSpecial)
    let end = clock()
    precondition(!tokens.isEmpty)
    return Double(end - start) / Double(CLOCKS_PER_SEC)
  }
}
