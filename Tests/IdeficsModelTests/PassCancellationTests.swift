import IdeficsModel
import Kernels
import Tensors
import TestSupport
import Testing
import WeightFiles

/// A raised flag ends a pass before the next layer, in every stage of it.
@Suite struct PassCancellationTests {
  /// The weights of a checkpoint; raises a flag when a section is asked for.
  private final class StoppingSource: WeightSource, @unchecked Sendable {
    // Sendable: only the thread of the test uses it.
    private let source: CheckpointSource
    var flag: CancellationFlag?
    /// Sections asked for so far, and at which of them to raise the flag.
    var sections: [WeightSection] = []
    var stop = Int.max

    init(_ source: CheckpointSource) { self.source = source }

    func packed(_ name: String) throws(WeightFileError) -> PackedMatrix { try source.packed(name) }
    func dense(_ name: String) throws(WeightFileError) -> DenseTensor { try source.dense(name) }
    func contains(_ name: String) -> Bool { source.contains(name) }
    func shape(of name: String) -> Shape? { source.shape(of: name) }

    func acquire(_ section: WeightSection) throws(ModelError) {
      if sections.count == stop { flag?.raise() }
      sections.append(section)
    }
  }

  /// Runs `pass` with the flag raised in each of its sections; returns the sections of a whole pass.
  private func stopEverywhere(
    _ source: StoppingSource,
    _ flag: CancellationFlag,
    _ pass: () throws -> Void
  ) throws -> [WeightSection] {
    (source.sections, source.stop, source.flag) = ([], .max, flag)
    try pass()
    let whole = source.sections
    for stop in whole.indices {
      (source.sections, source.stop) = ([], stop)
      do {
        try pass()
        // What ends the pass is not followed by a question whether to go on.
        #expect(stop >= whole.count - 2, "\(whole[stop])")
      } catch ModelError.cancelled {
        // A cross block and the decoder layer behind it are one layer.
        #expect(source.sections.count <= stop + 2, "\(whole[stop])")
      }
      flag.lower()
    }
    return whole
  }

  @Test func everyLayerAsksWhetherToGoOn() throws {
    let modelCase = try #require(
      ModelCase.all().first { $0.model == "micro" && $0.name == "one_image" }
    )
    let configuration = try modelCase.configuration()
    let source = StoppingSource(try modelCase.source())
    let harness = try ModelHarness(source: source, configuration: configuration, threads: 1)
    let flag = harness.model.cancellation
    let row = try modelCase.reference().rows[0]
    let file = try #require(row.images.first)
    let image = try stopEverywhere(source, flag) {
      _ = try harness.encode(modelCase.image(file))
    }
    let depth = configuration.perceiver?.depth ?? 0
    #expect(image.count == 1 + configuration.vision.layers + depth + configuration.crossBlocks)

    let images = [try harness.encode(modelCase.image(file))]
    let table = harness.pages(tokens: row.tokens.count, layers: configuration.layers)
    let text = try stopEverywhere(source, flag) {
      _ = try harness.model.step([
        SequenceSlice(
          tokens: row.tokens,
          position: 0,
          pages: table,
          imageRuns: harness.runs(row.attendedImage, images),
          logits: .last
        )
      ])
    }
    #expect(text.count == 2 + configuration.layers + configuration.crossBlocks)
  }
}
