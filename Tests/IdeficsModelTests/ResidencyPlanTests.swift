import IdeficsModel
import Testing
import WeightFiles

/// What a budget makes of the weights.
@Suite struct ResidencyPlanTests {
  /// Like a small 9B: two vision layers, a resampler, eight decoder layers with two cross blocks.
  private let inventory: SectionInventory = {
    func part(_ section: WeightSection, _ bytes: Int) -> ResidencyPlan.Part {
      ResidencyPlan.Part(section: section, bytes: bytes, storedBytes: bytes * 9 / 10)
    }
    var parts = [part(.patchEmbedding, 10)]
    parts += (0..<8).map { part(.visionLayer($0), 200) }
    parts += [part(.resamplerBlock(0), 150), part(.imageKeyValue(0), 50), part(.embedding, 1200)]
    for layer in 0..<8 {
      if layer % 4 == 0 { parts.append(part(.crossBlock(layer / 4), 900)) }
      parts.append(part(.decoderLayer(layer), 1000))
    }
    parts.append(part(.head, 1200))
    return SectionInventory(smallBytes: 40, parts: parts)
  }()

  private var allBytes: Int { ResidencyPlan(everythingOf: inventory).bytes }

  @Test func whatFitsStays() throws {
    let plan = try #require(ResidencyPlan(inventory, room: allBytes))
    #expect(!plan.isStreaming)
    #expect(plan.bytes == 40 + inventory.parts.reduce(0) { $0 + $1.bytes })
  }

  @Test func withoutABudgetImagesAreDecodedOnDemand() {
    let plan = ResidencyPlan(withoutBudget: inventory)
    #expect(!plan.isStreaming)
    #expect(plan.onDemand == inventory.parts.filter(\.section.isOfImages))
    #expect(plan.pinned == inventory.parts.filter { !$0.section.isOfImages })
    #expect(plan.bytes + plan.onDemandBytes == allBytes)
  }

  @Test func whatIsUsedInPlaceButSeldomCountsForNothing() {
    let mapped = SectionInventory(
      smallBytes: inventory.smallBytes,
      parts: inventory.parts.map {
        ResidencyPlan.Part(
          section: $0.section,
          bytes: $0.bytes,
          storedBytes: $0.bytes,
          inPlaceBytes: $0.bytes
        )
      }
    )
    let plan = ResidencyPlan(withoutBudget: mapped)
    let idle = inventory.parts.filter { $0.section.isOfImages || $0.section == .embedding }
    #expect(plan.onDemand.isEmpty)
    #expect(plan.bytes == allBytes - idle.reduce(0) { $0 + $1.bytes })
    // A budget holds what is mapped as well: there everything is copied.
    #expect(ResidencyPlan(mapped, room: allBytes)?.bytes == allBytes)
  }

  @Test func everyPlanKeepsToItsRoomAndLosesNothing() throws {
    let least = ResidencyPlan.leastBytes(inventory)
    var lastCost = Int.max
    for room in stride(from: least, through: allBytes, by: 50) {
      let plan = try #require(ResidencyPlan(inventory, room: room))
      #expect(plan.bytes <= room)
      let parts = plan.pinned + plan.imageStream + plan.textStream
      #expect(Set(parts) == Set(inventory.parts) && parts.count == inventory.parts.count)
      #expect(plan.imageStream == inventory.parts.filter(plan.imageStream.contains))
      #expect(plan.textStream == inventory.parts.filter(plan.textStream.contains))
      // More room never costs more for a token.
      #expect(plan.bytesPerPass <= lastCost)
      lastCost = plan.bytesPerPass
    }
    #expect(lastCost == 0)
    #expect(ResidencyPlan(inventory, room: least - 1) == nil)
  }

  @Test func imagesAreStreamedBeforeText() throws {
    for room in stride(from: ResidencyPlan.leastBytes(inventory), to: allBytes, by: 50) {
      let plan = try #require(ResidencyPlan(inventory, room: room))
      if !plan.textStream.isEmpty { #expect(plan.pinned.allSatisfy { !$0.section.isOfImages }) }
    }
  }

  @Test func streamedLayersAreSpreadOverThePass() throws {
    // Room for all but about half of the layers.
    let plan = try #require(ResidencyPlan(inventory, room: allBytes - 3000))
    let layers = plan.textStream.map(\.section)
    #expect(layers.count >= 4)
    let order = inventory.parts.map(\.section)
    let places = layers.compactMap { order.firstIndex(of: $0) }
    let gaps = zip(places, places.dropFirst()).map { $1 - $0 }
    #expect((gaps.max() ?? 0) - (gaps.min() ?? 0) <= 1)
  }

  @Test func aBudgetIsDividedWithoutRest() throws {
    let needs = MemoryDivision.Needs(
      fixedBytes: 500,
      readerBytes: 100,
      leastCacheBytes: 300,
      usefulCacheBytes: 2000
    )
    let least = MemoryDivision.leastBudget(inventory, needs)
    #expect(MemoryDivision(budget: least - 1, weights: inventory, needs: needs) == nil)
    for budget in stride(from: least, through: allBytes + 3000, by: 70) {
      let division = try #require(
        MemoryDivision(budget: budget, weights: inventory, needs: needs)
      )
      let readers = division.residency.isStreaming ? needs.readerBytes : 0
      #expect(
        needs.fixedBytes + readers + division.residency.bytes + division.cacheBytes <= budget
      )
      #expect(division.cacheBytes >= needs.leastCacheBytes)
      // The cache gets more only when no weights are streamed for it.
      if division.cacheBytes > needs.leastCacheBytes { #expect(!division.residency.isStreaming) }
    }
    let rich = try #require(
      MemoryDivision(budget: allBytes + 3000, weights: inventory, needs: needs)
    )
    #expect(rich.cacheBytes == 2000 && !rich.residency.isStreaming)
  }

  @Test func forecastsWaitForTheSlowerOfDiskAndProcessors() throws {
    let plan = try #require(ResidencyPlan(inventory, room: allBytes - 3000))
    #expect(plan.bytesPerPass > 0 && plan.bytesPerImage > 0)
    // Every section of text but the embedding, of which a pass reads rows.
    let text = inventory.parts.filter { !$0.section.isOfImages && $0.section != .embedding }
    let passSeconds = Double(text.reduce(0) { $0 + $1.bytes }) / 1000
    let imageSeconds = Double(plan.bytesPerImage) / 50
    let cases: [(disk: Double?, fits: Bool)] = [
      (1e9, false), (0.5, true), (0.5, false), (nil, false),
    ]
    for (disk, fits) in cases {
      let rates = StreamRates(diskBytesPerSecond: disk, decodedBytesPerSecond: 50, threads: 2)
      let forecast = StreamForecast(
        rates: rates,
        imageRates: rates,
        passBytesPerSecond: 1000,
        fitsPageCache: fits
      )
      let isSlow = disk == 0.5 && !fits
      let pass = isSlow ? Double(plan.storedBytesPerPass) / 0.5 : passSeconds
      let image = isSlow ? Double(plan.storedBytesPerImage) / 0.5 : imageSeconds
      #expect(abs(forecast.secondsPerPass(plan) - pass) < 1e-9 * pass)
      #expect(abs(forecast.secondsPerImage(plan) - image) < 1e-9 * image)
    }
  }
}
