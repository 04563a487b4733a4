import IdeficsModel
import Kernels
import Tensors
import TestSupport
import Testing
import WeightFiles

/// A raised flag ends a pass before the next section of its weights, and a layer between attention and MLP.
@Suite struct PassCancellationTests {
  /// When the flag is raised: at which section of a pass, and whether before or after its work.
  private enum Stop: Equatable { case before(Int), after(Int), never }

  /// The weights of a checkpoint; raises a flag at a section.
  private final class StoppingSource: WeightSource, @unchecked Sendable {
    // Sendable: only the thread of the test uses it.
    private let source: CheckpointSource
    var flag: CancellationFlag?
    /// Sections asked for so far.
    var sections: [WeightSection] = []
    var stop = Stop.never

    init(_ source: CheckpointSource) { self.source = source }

    func packed(_ name: String) throws(WeightFileError) -> PackedMatrix { try source.packed(name) }
    func dense(_ name: String) throws(WeightFileError) -> DenseTensor { try source.dense(name) }
    func contains(_ name: String) -> Bool { source.contains(name) }
    func shape(of name: String) -> Shape? { source.shape(of: name) }

    func acquire(_ section: WeightSection) throws(ModelError) {
      if stop == .before(sections.count) { flag?.raise() }
      sections.append(section)
    }

    func release(_ section: WeightSection) {
      if stop == .after(sections.count - 1) { flag?.raise() }
    }
  }

  /// The name under which the output of a layer's MLP is recorded; `nil` for what has no two halves.
  private func output(of section: WeightSection) -> String? {
    switch section {
    case .visionLayer(let index): "vision.layer.\(index)"
    case .crossBlock(let index): "cross.\(index).out"
    case .decoderLayer(let index): "layer.\(index).out"
    default: nil
    }
  }

  /// Runs `pass` with the flag raised before and after each of its sections; returns the sections of a
  /// whole pass.
  private func stopEverywhere(
    _ source: StoppingSource,
    _ model: IdeficsModel,
    _ pass: () throws -> Void
  ) throws -> [WeightSection] {
    (source.sections, source.stop, source.flag) = ([], .never, model.cancellation)
    try pass()
    let whole = source.sections
    for index in whole.indices {
      for stop in [Stop.before(index), .after(index)] {
        (source.sections, source.stop) = ([], stop)
        let recorder = LayerRecorder()
        model.recorder = recorder
        do {
          try pass()
          // What ends the pass is not followed by a question whether to go on.
          #expect(index == whole.count - 1, "\(stop)")
        } catch ModelError.cancelled {
          #expect(source.sections.count == index + 1, "\(stop)")
        }
        if stop == .before(index), let name = output(of: whole[index]) {
          #expect(!recorder.entries.contains { $0.name == name }, "\(name)")
        }
        model.cancellation.lower()
      }
    }
    model.recorder = nil
    source.stop = .never
    return whole
  }

  @Test func everyLayerAsksWhetherToGoOn() throws {
    let modelCase = try #require(
      ModelCase.all().first { $0.model == "micro" && $0.name == "one_image" }
    )
    let configuration = try modelCase.configuration()
    let source = StoppingSource(try modelCase.source())
    let harness = try ModelHarness(source: source, configuration: configuration, threads: 1)
    let row = try modelCase.reference().rows[0]
    let file = try #require(row.images.first)
    let image = try stopEverywhere(source, harness.model) {
      _ = try harness.encode(modelCase.image(file))
    }
    let depth = configuration.perceiver?.depth ?? 0
    #expect(image.count == 1 + configuration.vision.layers + depth + configuration.crossBlocks)

    let images = [try harness.encode(modelCase.image(file))]
    let table = harness.pages(tokens: row.tokens.count, layers: configuration.layers)
    let text = try stopEverywhere(source, harness.model) {
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
