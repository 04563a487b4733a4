// `idefix bench`: how fast this machine runs a model, and how near that is to what it could do. The
// machine's own limits are measured between the runs, since they move on shared machines.

import ArgumentParser
import Conversion
import Foundation
import IdeficsModel
import Idefix
import Kernels
import WeightFiles

/// Measures speed.
struct BenchCommand: Subcommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure prefill, decode and image speed against the machine's limits.",
    discussion: """
      Decode is limited by reading every weight once a token; prefill and images by int8
      multiply-adds. Both limits are measured between the runs, and the share of them that was
      reached is printed. --shape measures a published size with random weights.

      Example: idefix bench --shape 9b --layers 4 -p 128,512 -n 32
      """
  )

  @Argument(help: "A model file (.idfx; default: $IDEFIX_MODEL or the demo model).")
  var model: String?

  @Option(help: "Random weights of a published shape: 9b, 80b or llama-7b.")
  var shape: String?

  @Option(help: "Decoder layers of the shape.")
  var layers: Int?

  @Option(help: "Recipe of the shape.")
  var recipe = "q4"

  @Option(name: .customShort("p"), help: "Prompt lengths.")
  var prompts = "128,512"

  @Option(name: .customShort("n"), help: "Tokens to decode in each run.")
  var count = 32

  @Option(help: "Images in context when decoding (default: 0,1, or 0 where a shape has none).")
  var images: String?

  @Option(help: "Sequences decoded together.")
  var batch = "1,8"

  @Option(help: "Tokens in context when decoding.")
  var depth = "0"

  @Option(name: .customLong("repeat"), help: "Runs of each measurement; the median is printed.")
  var repeats = 5

  @Option(help: "Threads of the kernels (default: physical cores this process may use).")
  var threads: Int?

  @Option(help: "Instruction set: portable, avx2, avxvnni, avx512vnni or neon.")
  var isa: String?

  @Option(help: "Ceiling on resident memory, such as 6G, of a model file.")
  var memory: ByteCount?

  @Option(name: .customLong("kv"), help: "Storage of cached keys and values: f32, f16 or int8.")
  var cacheElement: CacheElement = .f16

  @Flag(
    help: "Only load the model file, none of which is in the page cache, beside disk and decoder."
  )
  var load = false

  @Flag(help: "Print one JSON document instead of a table.")
  var json = false

  func execute() async throws {
    if load { return try await measureLoading() }
    let shape = try chosenShape()
    let hasImages = shape?.hasImages ?? true
    let lists = try (
      prompts: numbers(prompts, "-p"),
      images: numbers(images ?? (hasImages ? "0,1" : "0"), "--images"),
      batch: numbers(batch, "--batch"), depth: numbers(depth, "--depth")
    )
    guard count > 0, repeats > 0 else {
      throw CommandFailure(.usage, "-n and --repeat must be at least 1.")
    }
    guard hasImages || lists.images.allSatisfy({ $0 == 0 }) else {
      throw CommandFailure(.usage, "The shape llama-7b has no images.")
    }
    let compute = try ComputeContext(isa: try chosenISA(), threads: threads)
    let longest = max(lists.prompts.max() ?? 1, (lists.depth.max() ?? 0) + count + 1)
    let subject = try makeSubject(
      shape,
      compute,
      tokens: longest,
      images: max(lists.images.max() ?? 0, 1),
      sequences: max(lists.batch.max() ?? 1, 1)
    )
    let runner = BenchRunner(subject: subject, repeats: repeats)
    var rows: [BenchRow] = []
    func report(_ row: BenchRow) {
      rows.append(row)
      if !json { Terminal.write(row.line + "\n") }
    }
    if !json { Terminal.write(runner.header) }
    for length in lists.prompts where length > 0 { report(try runner.prefill(length)) }
    if lists.images.contains(where: { $0 > 0 }) { report(try runner.image()) }
    for depth in lists.depth {
      for images in lists.images {
        for batch in lists.batch where batch > 0 {
          report(try runner.decode(count, depth: depth, images: images, batch: batch))
        }
      }
    }
    if json {
      try JSONOutput.write(BenchReport(subject, rows: rows))
    } else {
      Terminal.write("peak memory \(ByteCount(ProcessMemory.peakResidentBytes))\n")
    }
  }

  private func measureLoading() async throws {
    guard shape == nil, memory == nil, repeats > 0 else {
      throw CommandFailure(
        .usage,
        "--load is for a model file that stays in memory, loaded at least once."
      )
    }
    var options = EngineOptions()
    options.threads = threads
    options.isa = isa
    let path = try ModelPath.resolve(model)
    let result = try await LoadBench(path, options: options, repeats: repeats)
    if json {
      try JSONOutput.write(result)
    } else {
      Terminal.write(result.text)
    }
  }

  private func numbers(_ list: String, _ option: String) throws -> [Int] {
    try list.split(separator: ",").map { word in
      guard let number = Int(word), (0...1 << 20).contains(number) else {
        throw CommandFailure(.usage, "\(option) takes numbers separated by commas.")
      }
      return number
    }
  }

  private func chosenShape() throws -> PublishedShape? {
    guard let shape else { return nil }
    guard let known = PublishedShape(rawValue: shape) else {
      throw CommandFailure(.usage, "--shape must be 9b, 80b or llama-7b.")
    }
    return known
  }

  private func chosenISA() throws -> ISA? {
    guard let isa else { return nil }
    guard let known = ISA(rawValue: isa) else {
      throw CommandFailure(.usage, "There is no instruction set \(isa).")
    }
    return known
  }

  /// What of a file's weights stays in memory, beside a cache of `pages` pages.
  private func residency(
    _ file: IdfxFile,
    _ configuration: Configuration,
    pages: Int,
    threads: Int
  ) throws -> ResidencyPlan {
    let pageBytes = PageStore.bytesPerPage(
      heads: configuration.heads,
      headDim: configuration.headDim,
      element: KVElement(cacheElement)
    )
    var load = MemoryLedger.Load(context: 1, pageBytes: pageBytes)
    load.tokensPerStep = BenchSubject.tokensPerStep
    load.decodingThreads = FileWeights.decodingThreads(of: threads)
    let ledger = MemoryLedger(file: file, configuration: configuration, load: load)
    guard let memory else { return ResidencyPlan(withoutBudget: ledger.inventory) }
    var needs = ledger.needs
    needs.leastCacheBytes = pages * pageBytes
    let plan = MemoryDivision(budget: memory.bytes, weights: ledger.inventory, needs: needs)
    guard let plan else {
      let least = ByteCount(MemoryDivision.leastBudget(ledger.inventory, needs))
      throw CommandFailure(.usage, "--memory \(memory) is too small; the least is \(least).")
    }
    return plan.residency
  }

  private func makeSubject(
    _ shape: PublishedShape?,
    _ compute: ComputeContext,
    tokens: Int,
    images: Int,
    sequences: Int
  ) throws -> BenchSubject {
    let source: any WeightSource
    let configuration: Configuration
    if let shape {
      configuration = try shape.configuration(layers: layers)
      source = SyntheticSource(configuration: configuration, recipe: try .named(recipe))
    } else {
      let access = memory == nil ? IdfxAccess.mapped : .copied
      let file = try IdfxFile.open(try ModelPath.resolve(model), access: access)
      configuration = try file.modelConfiguration()
      source = try FileWeights(
        file,
        configuration: configuration,
        plan: try residency(
          file,
          configuration,
          pages: BenchSubject.pages(configuration, tokens, images, sequences),
          threads: compute.threads
        ),
        threads: compute.threads
      )
    }
    return try BenchSubject(
      source: source,
      configuration: configuration,
      compute: compute,
      tokens: tokens,
      images: images,
      sequences: sequences,
      cacheElement: KVElement(cacheElement)
    )
  }
}
