import IdeficsModel
import Kernels
import Testing
import WeightFiles

/// Without a budget, the weights of images come with the first image and go when text goes on.
@Suite struct ImageWeightsTests {
  private static let tokensPerStep = 128

  /// A model and where its weights come from.
  private struct Subject {
    let weights: FileWeights
    let model: IdeficsModel
    let configuration: Configuration

    init(_ path: String) throws {
      let file = try IdfxFile.open(path)
      configuration = try Configuration(json: try #require(try file.embeddedFile("config.json")))
      weights = try FileWeights(
        file,
        configuration: configuration,
        plan: ResidencyPlan(
          withoutBudget: SectionInventory(configuration: configuration, file: file)
        ),
        threads: 2
      )
      model = try IdeficsModel(
        source: weights,
        configuration: configuration,
        compute: try ComputeContext(threads: 2),
        limits: ModelLimits(tokensPerStep: tokensPerStep, pages: 512, cacheElement: .f32)
      )
    }

    /// Bytes decoded since loading.
    var decodedBytes: Int { weights.streamStatistics?.bytes ?? 0 }

    /// Keys and values of an image.
    func encode() throws -> [[UInt8]] {
      let side = configuration.vision.imageSize
      let values = (0..<(3 * side * side)).map { Float($0 % 251) / 125 - 1 }
      let image = try #require(PixelTensor(height: side, width: side, values: values))
      let count = (model.stateCount(of: image) + 15) / 16
      let pages = (0..<configuration.crossBlocks).map { block in
        (0..<count).map { Int32(block * count + $0) }
      }
      try model.encode(image, into: PageTable(layers: pages))
      return pages.joined().map(model.pageStore.bytes)
    }

    /// Passes over `count` tokens in all.
    func step(tokens count: Int) throws {
      let pages = (0..<configuration.layers).map { layer in
        (0..<(tokensPerStep / 16)).map { Int32(256 + layer * tokensPerStep / 16 + $0) }
      }
      for start in stride(from: 0, to: count, by: tokensPerStep) {
        let tokens = [Int32](repeating: 5, count: min(tokensPerStep, count - start))
        _ = try model.step([
          SequenceSlice(
            tokens: tokens,
            position: 0,
            pages: PageTable(layers: pages),
            imageRuns: [ImageRun(tokenCount: tokens.count, image: nil)],
            logits: .last
          )
        ])
      }
    }
  }

  @Test func comeWithAnImageAndGoWithText() async throws {
    try await MicroModel.withFile(recipe: .q8) { path in
      let subject = try Subject(path)
      try subject.step(tokens: 100)
      #expect(subject.decodedBytes == 0)

      let image = try subject.encode()
      let once = subject.decodedBytes
      #expect(once > subject.weights.plan.onDemandBytes * 9 / 10)
      #expect(once <= subject.weights.plan.onDemandBytes)

      // As long as little text lies between images, they are decoded once.
      for _ in 0..<3 {
        try subject.step(tokens: IdeficsModel.tokensBesideImageWeights)
        #expect(try subject.encode() == image)
        #expect(subject.decodedBytes == once)
      }

      for round in 2...4 {
        try subject.step(tokens: IdeficsModel.tokensBesideImageWeights + 1)
        #expect(subject.decodedBytes == (round - 1) * once)
        #expect(try subject.encode() == image)
        #expect(subject.decodedBytes == round * once)
      }
    }
  }

  @Test func areUsedInPlaceWhereTheyLieRaw() async throws {
    let expected = try await MicroModel.withFile(recipe: .q8) { try Subject($0).encode() }
    try await MicroModel.withFile(recipe: .q8, codec: .raw) { path in
      let subject = try Subject(path)
      #expect(subject.weights.plan.onDemand.isEmpty && subject.weights.streamStatistics == nil)
      #expect(try subject.encode() == expected)
    }
  }
}
