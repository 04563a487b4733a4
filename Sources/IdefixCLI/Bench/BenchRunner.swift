// The measurements of `idefix bench`: each one repeated, with the machine's limit probed before every
// repetition, so that a ratio compares two numbers of the same second.

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
  /// Median share of the limit, 0…1.
  let share: Double
  let limit: String

  /// The row for a person.
  var line: String {
    let name = test.padding(toLength: 38, withPad: " ", startingAt: 0)
    let share = String(format: "%3.0f %% of %@", share * 100, limit)
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
    var seconds: [Double] = []
    var shares: [Double] = []
    for _ in 0..<repeats {
      subject.reset()
      let pages = subject.textTable(tokens: length)
      let limit = probe.productsPerSecond()
      let time = try measure { try subject.prefill(length, at: 0, pages, image: nil) }
      seconds.append(time)
      shares.append(Double(subject.productsPerToken) * Double(length) / time / limit)
    }
    return row("prefill \(length)", Double(length), seconds, shares, Self.productRate)
  }

  /// One image, from pixels to cached keys and values.
  func image() throws -> BenchRow {
    var seconds: [Double] = []
    var shares: [Double] = []
    for _ in 0..<repeats {
      subject.reset()
      let limit = probe.productsPerSecond()
      let time = try measure { _ = try subject.encodeImage() }
      seconds.append(time)
      shares.append(Double(subject.productsPerImage) / time / limit)
    }
    return row("image", nil, seconds, shares, Self.productRate)
  }

  /// `count` tokens of each of `batch` sequences.
  func decode(_ count: Int, depth: Int, images: Int, batch: Int) throws -> BenchRow {
    subject.reset()
    var image: ImagePages?
    for _ in 0..<images { image = try subject.encodeImage() }
    let tables = (0..<batch).map { _ in subject.textTable(tokens: depth + count + 1) }
    for table in tables { try subject.prefill(max(depth, 1), at: 0, table, image: image) }
    let cache = subject.cacheBytes(depth: depth, hasImage: images > 0) * batch
    var seconds: [Double] = []
    var shares: [Double] = []
    for _ in 0..<repeats {
      let limit = probe.readBytesPerSecond()
      let time = try measure {
        for step in 0..<count {
          try subject.decode(tables, at: max(depth, 1) + step, image: image)
        }
      }
      seconds.append(time)
      shares.append(Double((subject.bytesPerPass + cache) * count) / time / limit)
    }
    var name = "decode \(count)"
    if depth > 0 { name += " at \(depth)" }
    if images > 0 { name += ", \(images) image\(images == 1 ? "" : "s")" }
    if batch > 1 { name += ", batch \(batch)" }
    return row(name, Double(count * batch), seconds, shares, Self.readRate)
  }

  private func measure(_ body: () throws -> Void) rethrows -> Double {
    let start = ContinuousClock.now
    try body()
    return (ContinuousClock.now - start) / .seconds(1)
  }

  private func row(
    _ test: String,
    _ tokens: Double?,
    _ seconds: [Double],
    _ shares: [Double],
    _ limit: String
  ) -> BenchRow {
    let rates = tokens.map { tokens in seconds.map { tokens / $0 } }
    return BenchRow(
      test: test,
      tokensPerS: rates?.median,
      lowestTokensPerS: rates?.min(),
      highestTokensPerS: rates?.max(),
      milliseconds: (seconds.median ?? 0) * 1000,
      share: shares.median ?? 0,
      limit: limit
    )
  }
}
