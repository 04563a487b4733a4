// The measurements of `idefix bench`: each one repeated, with the machine's limit probed before and after every
// repetition, so that a ratio compares numbers of the same second. A first pass over cold memory does not count.

import Foundation
import IdeficsModel
import Kernels

/// One line of the result.
struct BenchRow: Encodable {
  let test: String
  /// Median, smallest and largest rate.
  let tokensPerS: Double?
  let lowestTokensPerS: Double?
  let highestTokensPerS: Double?
  let milliseconds: Double
  /// Median share of the limit.
  let share: Double
  let limit: String
  /// Whether the share can be relied on.
  let trust: ProbedRuns.Trust

  /// The row of `runs` that compute `tokens` tokens each.
  init(_ test: String, tokens: Double?, _ runs: ProbedRuns, limit: String) {
    let seconds = runs.seconds
    let median = seconds[seconds.count / 2]
    self.test = test
    tokensPerS = tokens.map { $0 / median }
    lowestTokensPerS = tokens.map { $0 / seconds[seconds.count - 1] }
    highestTokensPerS = tokens.map { $0 / seconds[0] }
    milliseconds = median * 1000
    share = runs.share
    self.limit = limit
    trust = runs.trust
  }

  /// The row for a person.
  var line: String {
    let name = test.padding(toLength: 38, withPad: " ", startingAt: 0)
    let doubt =
      switch trust {
      case .steady: ""
      case .limitMoved: ", which moved: NOT TRUSTED"
      case .probeBeaten: ", which was probed too low: NOT TRUSTED"
      }
    let share = String(format: "%3.0f %% of %@%@", share * 100, limit, doubt)
    guard let tokensPerS, let lowestTokensPerS, let highestTokensPerS else {
      return name + String(format: "%9.1f ms                        ", milliseconds) + share
    }
    let spread = String(format: "(%.2f–%.2f)", lowestTokensPerS, highestTokensPerS)
      .padding(toLength: 18, withPad: " ", startingAt: 0)
    return name + String(format: "%9.2f tok/s ", tokensPerS) + spread + share
  }
}

/// What `bench --json` prints.
struct BenchReport: Encodable {
  let isa: String
  let threads: Int
  let bytesPerPass: Int
  let productsPerToken: Int
  let productsPerImage: Int
  let rows: [BenchRow]
  let peakRssBytes: Int

  init(_ subject: BenchSubject, rows: [BenchRow]) {
    isa = subject.compute.isa.rawValue
    threads = subject.compute.threads
    bytesPerPass = subject.bytesPerPass
    productsPerToken = subject.productsPerToken
    productsPerImage = subject.productsPerImage
    self.rows = rows
    peakRssBytes = ProcessMemory.peakResidentBytes
  }
}

/// Runs measurements on a subject.
struct BenchRunner {
  private static let readRate = "the read rate"
  private static let productRate = "the int8 rate"

  private let subject: BenchSubject
  private let repeats: Int
  private let probe: MachineProbe

  init(subject: BenchSubject, repeats: Int) {
    self.subject = subject
    self.repeats = repeats
    probe = MachineProbe(context: subject.compute)
  }

  /// What is measured on what.
  var header: String {
    String(
      format: "%@, %d threads: reads %.1f GB/s, %.0f G int8 multiply-adds/s\n"
        + "a token reads %.3f GB of weights and takes %.3f G multiply-adds; an image %.1f G\n",
      subject.compute.isa.rawValue,
      subject.compute.threads,
      probe.readBytesPerSecond() / 1e9,
      probe.productsPerSecond() / 1e9,
      Double(subject.bytesPerPass) / 1e9,
      Double(subject.productsPerToken) / 1e9,
      Double(subject.productsPerImage) / 1e9
    )
  }

  /// A prompt of `length` tokens.
  func prefill(_ length: Int) throws -> BenchRow {
    let work = Double(subject.products(ofPrompt: length))
    func pass(_ length: Int) throws {
      subject.reset()
      try subject.prefill(length, at: 0, subject.textTable(tokens: length), image: nil)
    }
    try pass(min(length, 512))
    let runs = try probe.runs(of: work, against: .multiplying, repeats: repeats) {
      try pass(length)
    }
    return BenchRow("prefill \(length)", tokens: Double(length), runs, limit: Self.productRate)
  }

  /// One image, from pixels to cached keys and values.
  func image() throws -> BenchRow {
    let work = Double(subject.productsPerImage)
    func pass() throws {
      subject.reset()
      _ = try subject.encodeImage()
    }
    try pass()
    let runs = try probe.runs(of: work, against: .multiplying, repeats: repeats) { try pass() }
    return BenchRow("image", tokens: nil, runs, limit: Self.productRate)
  }

  /// `count` tokens of each of `batch` sequences.
  func decode(_ count: Int, depth: Int, images: Int, batch: Int) throws -> BenchRow {
    subject.reset()
    var image: ImagePages?
    for _ in 0..<images { image = try subject.encodeImage() }
    let tables = (0..<batch).map { _ in subject.textTable(tokens: depth + count + 1) }
    for table in tables { try subject.prefill(max(depth, 1), at: 0, table, image: image) }
    let cache = subject.cacheBytes(depth: depth, hasImage: images > 0) * batch
    var step = 0
    func decode(_ steps: Int) throws {
      for _ in 0..<steps {
        try subject.decode(tables, at: max(depth, 1) + step % count, image: image)
        step += 1
      }
    }
    // Probes lie between the tokens of a large model: its runs last longer than a machine keeps still.
    let start = ContinuousClock.now
    try decode(1)
    let steps = min(count, max(1, Int(.milliseconds(100) / (ContinuousClock.now - start))))
    let runs = try probe.runs(
      of: Double((subject.bytesPerPass + cache) * steps),
      against: .reading,
      repeats: repeats * (count / steps)
    ) { try decode(steps) }
    var name = "decode \(count)"
    if depth > 0 { name += " at \(depth)" }
    if images > 0 { name += ", \(images) image\(images == 1 ? "" : "s")" }
    if batch > 1 { name += ", batch \(batch)" }
    return BenchRow(name, tokens: Double(steps * batch), runs, limit: Self.readRate)
  }
}
