// What `idefix plan` prints: the ledger, what a budget makes of it, and how fast that will be.

import IdeficsModel

/// A memory forecast for a person or a program.
struct PlanReport: Encodable {
  /// Speed of streaming.
  struct Forecast: Encodable {
    let diskBytesPerSecond: Double?
    let decodedBytesPerSecond: Double
    let passBytesPerSecond: Double
    let fitsPageCache: Bool
    let secondsPerToken: Double
    let secondsPerImage: Double

    init(_ forecast: StreamForecast, _ plan: ResidencyPlan) {
      diskBytesPerSecond = forecast.rates.diskBytesPerSecond
      decodedBytesPerSecond = forecast.rates.decodedBytesPerSecond
      passBytesPerSecond = forecast.passBytesPerSecond
      fitsPageCache = forecast.fitsPageCache
      secondsPerToken = forecast.secondsPerPass(plan)
      secondsPerImage = forecast.secondsPerImage(plan)
    }
  }

  let weights: [MemoryLedger.Weights]
  let weightBytes: Int
  let cacheBytesPer1000Tokens: Int
  let cacheBytesPerImage: Int
  let cacheBytes: Int
  let scratchBytes: Int
  let programBytes: Int
  /// The most that the load takes, within the budget if there is one.
  let totalBytes: Int
  let budgetBytes: Int?
  let leastBudgetBytes: Int
  let isPossible: Bool
  let pinnedBytes: Int?
  /// Of weights that are decoded when an image needs them, and let go when text goes on without one.
  let imageWeightBytes: Int?
  let bufferBytes: Int?
  let streamedBytesPerPass: Int?
  let streamedBytesPerImage: Int?
  var forecast: Forecast?
  /// What becomes of the weights; `nil` with a budget that is too small.
  let residency: ResidencyPlan?

  private enum CodingKeys: CodingKey {
    case weights, weightBytes, cacheBytesPer1000Tokens, cacheBytesPerImage, cacheBytes
    case scratchBytes, programBytes, totalBytes, budgetBytes, leastBudgetBytes, isPossible
    case pinnedBytes, imageWeightBytes, bufferBytes, streamedBytesPerPass, streamedBytesPerImage,
      forecast
  }

  init(_ ledger: MemoryLedger, budget: Int?) {
    weights = ledger.weights
    weightBytes = ledger.weightBytes
    cacheBytesPer1000Tokens = ledger.cacheBytesPer1000Tokens
    cacheBytesPerImage = ledger.cacheBytesPerImage
    cacheBytes = ledger.cacheBytes
    scratchBytes = ledger.scratchBytes
    programBytes = ledger.programBytes
    budgetBytes = budget
    leastBudgetBytes = MemoryDivision.leastBudget(ledger.inventory, ledger.needs)
    let unbounded = ResidencyPlan(withoutBudget: ledger.inventory)
    residency =
      if let budget {
        MemoryDivision(budget: budget, weights: ledger.inventory, needs: ledger.needs)?.residency
      } else {
        unbounded
      }
    isPossible = residency != nil
    totalBytes = ledger.totalBytes(residency ?? unbounded)
    bufferBytes = residency.map {
      $0.isStreaming ? ResidencyPlan.slots * $0.slotBytes + ledger.readerBytes : 0
    }
    pinnedBytes = residency.map { $0.bytes - ResidencyPlan.slots * $0.slotBytes }
    imageWeightBytes = residency.map(\.onDemandBytes)
    streamedBytesPerPass = residency?.bytesPerPass
    streamedBytesPerImage = residency?.bytesPerImage
  }

  /// The report as a table.
  var text: String {
    var rows = weights.map { weights in
      [
        "weights", weights.role.rawValue, weights.encodings.joined(separator: ", "),
        "\(weights.parameters)", "\(ByteCount(weights.bytes))",
      ]
    }
    func row(_ name: String, _ detail: String, _ bytes: Int) {
      rows.append([name, detail, "", "", "\(ByteCount(bytes))"])
    }
    row("weights", "all", weightBytes)
    row("cache", "per 1,000 tokens", cacheBytesPer1000Tokens)
    row("cache", "per image", cacheBytesPerImage)
    row("cache", "this load", cacheBytes)
    row("scratch", "", scratchBytes)
    row("program", "", programBytes)
    if let pinnedBytes, pinnedBytes < weightBytes { row("weights", "that stay", pinnedBytes) }
    if let imageWeightBytes, imageWeightBytes > 0 {
      row("weights", "while images come", imageWeightBytes)
    }
    if let bufferBytes, bufferBytes > 0 {
      row("weights", "buffers", bufferBytes)
      row("weights", "read per token", streamedBytesPerPass ?? 0)
      row("weights", "read per image", streamedBytesPerImage ?? 0)
    }
    row("total", "", totalBytes)
    let widths = (0..<5).map { column in rows.map { $0[column].count }.max() ?? 0 }
    var lines = rows.map { row in
      zip(row, widths).enumerated().map { column, cell in
        let padding = String(repeating: " ", count: cell.1 - cell.0.count)
        return column < 3 ? cell.0 + padding : padding + cell.0
      }.joined(separator: "  ")
    }
    if let budgetBytes { lines.append(verdict(budgetBytes)) }
    if let forecast { lines.append(forecast.text) }
    return lines.joined(separator: "\n") + "\n"
  }

  private func verdict(_ budget: Int) -> String {
    let budget = ByteCount(budget)
    guard isPossible else {
      return "budget \(budget): too small, the least is \(ByteCount(leastBudgetBytes))"
    }
    guard let bufferBytes, bufferBytes > 0 else { return "budget \(budget): everything fits" }
    return "budget \(budget): weights are streamed"
  }
}

extension PlanReport.Forecast {
  /// The forecast for a person.
  var text: String {
    let rates = [
      diskBytesPerSecond.map { "disk \(ByteCount(Int($0)))/s" },
      fitsPageCache ? "which the page cache spares after the first pass" : nil,
      "decoder \(ByteCount(Int(decodedBytesPerSecond)))/s",
      "a pass \(ByteCount(Int(passBytesPerSecond)))/s of all weights",
    ]
    return "forecast: \(Rate.perToken(secondsPerToken)), "
      + "an image takes \(Rate.seconds(secondsPerImage)) longer than computing it ("
      + rates.compactMap(\.self).joined(separator: ", ") + ")"
  }
}

/// Rates and times in words.
enum Rate {
  /// Tokens per second, or seconds per token where that is the larger number.
  static func perToken(_ seconds: Double) -> String {
    seconds > 1 ? "\(self.seconds(seconds)) a token" : "\(short(1 / max(seconds, 1e-9))) tokens/s"
  }

  /// A time in seconds.
  static func seconds(_ seconds: Double) -> String { "\(short(seconds)) s" }

  /// Two digits that matter.
  private static func short(_ value: Double) -> String {
    value >= 10 ? "\(Int(value.rounded()))" : "\((value * 10).rounded() / 10)"
  }
}
