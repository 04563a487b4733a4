// The layer-by-layer pass: the same hidden states as the ordinary one, bit for bit, and what it shows are
// the inputs of the products that it names.

import Foundation
import IdeficsModel
import Kernels
import Tensors
import TestSupport
import Testing

@Suite struct LayerwisePassTests {
  private func source(_ c: Configuration) throws -> CheckpointSource {
    try CheckpointSource(
      path: Fixture.url("models/micro").path,
      configuration: c,
      encoding: { _ in .f32 }
    )
  }

  private func configuration() throws -> Configuration {
    try Configuration(json: try Fixture.bytes("models/micro/config.json"))
  }

  private func prompts(_ c: Configuration) throws -> [LayerwisePrompt] {
    var random = SeededGenerator(seed: 3)
    let side = c.vision.imageSize
    func pixels() throws -> PixelTensor {
      let values = (0..<(3 * side * side)).map { _ in Float.random(in: -2...2, using: &random) }
      return try #require(PixelTensor(height: side, width: side, values: values))
    }
    // Lengths that share a step, one that fills one alone, tokens of the added vocabulary.
    return try [(19, 2), (5, 0), (600, 1), (40, 1)].map { count, images in
      let vocabulary = Int32(c.totalVocabularySize)
      let tokens = (0..<count).map { _ in Int32.random(in: 0..<vocabulary, using: &random) }
      return try #require(
        LayerwisePrompt(
          tokens: tokens,
          attendedImages: tokens.indices.map { min(images - 1, $0 * 3 / count - 1) },
          images: try (0..<images).map { _ in try pixels() }
        )
      )
    }
  }

  @Test func hiddenStatesAreThoseOfTheOrdinaryPass() throws {
    let c = try configuration()
    let prompts = try prompts(c)
    let harness = try ModelHarness(source: try source(c), configuration: c, tokensPerStep: 600)
    var expected: [[String: [Float]]] = []
    for prompt in prompts {
      let images = try prompt.images.map { try harness.encode($0) }
      let recorder = LayerRecorder()
      harness.model.recorder = recorder
      _ = try harness.model.step([
        SequenceSlice(
          tokens: prompt.tokens,
          position: 0,
          pages: harness.pages(tokens: prompt.tokens.count, layers: c.layers),
          imageRuns: harness.runs(prompt.attendedImages, images),
          logits: .none
        )
      ])
      harness.model.recorder = nil
      expected.append(
        Dictionary(uniqueKeysWithValues: recorder.entries.map { ($0.name, $0.values) })
      )
    }
    for isa in ISA.available {
      let pass = try LayerwisePass(
        source: try source(c),
        configuration: c,
        compute: try ComputeContext(isa: isa, threads: 2),
        prompts: prompts,
        cancellation: CancellationFlag()
      )
      #expect(pass.hidden(ofPrompt: 1) == expected[1]["embed"])
      while let stage = pass.remaining.first {
        // Looking on changes nothing.
        let looksOn: LayerwisePass.Observer = { _, _ in }
        try pass.advance(
          cancellation: CancellationFlag(),
          observer: stage == .layer(0) ? looksOn : nil
        )
        let name =
          switch stage {
          case .cross(let block): "cross.\(block).out"
          case .layer(let layer): "layer.\(layer).out"
          }
        for index in prompts.indices {
          #expect(pass.hidden(ofPrompt: index) == expected[index][name], "\(name) \(index)")
        }
      }
    }
  }

  /// `x_out = x_in + α W_o a + β W_down m`, `m = silu(W_gate n) · W_up n`, with what is shown for a, n, m.
  @Test func shownInputsAreThoseOfTheNamedWeights() throws {
    let c = try configuration()
    let prompt = try prompts(c)[0]
    let source = try source(c)
    let pass = try LayerwisePass(
      source: source,
      configuration: c,
      compute: try ComputeContext(threads: 1),
      prompts: [prompt],
      cancellation: CancellationFlag()
    )
    func product(_ name: String, _ x: [Float]) throws -> [Double] {
      let w = try source.packed(name)
      return (0..<(x.count / w.columns)).flatMap { row in
        (0..<w.rows).map { n in
          (0..<w.columns).reduce(0.0) {
            $0 + Double(w.value(row: n, column: $1)) * Double(x[row * w.columns + $1])
          }
        }
      }
    }
    func gate(_ stage: LayerwiseStage, _ name: String) throws -> (Int) -> Double {
      guard case .cross(let block) = stage else { return { _ in 1 } }
      let values = try source.dense("model.gated_cross_attn_layers.\(block).\(name)").values
      return { tanh(Double(values[values.count == 1 ? 0 : $0 % c.hiddenSize])) }
    }
    while let stage = pass.remaining.first {
      let before = pass.hidden(ofPrompt: 0)
      var shown: [Int: [Float]] = [:]
      try pass.advance(cancellation: CancellationFlag()) { input, x in
        shown[input, default: []] += x.values()
      }
      let after = pass.hidden(ofPrompt: 0)
      let names = stage.inputs
      let last = names.count - 1
      #expect(shown.count == names.count)
      for (index, list) in names.enumerated() {
        let columns = try source.packed(list[0]).columns
        let isImage = names.count == 5 && index == 0
        let rows = isImage ? prompt.images.count * c.imageStates : prompt.tokens.count
        #expect(shown[index]?.count == rows * columns)
      }
      let normed = try #require(shown[last - 1])
      let inner = try #require(shown[last])
      let gates = try product(names[last - 1][0], normed)
      let ups = try product(names[last - 1][1], normed)
      for (index, value) in inner.enumerated() {
        let expected = gates[index] / (1 + exp(-gates[index])) * ups[index]
        #expect(abs(Double(value) - expected) < 1e-4 * max(1, abs(expected)))
      }
      let attended = try product(names[last - 2][0], try #require(shown[last - 2]))
      let down = try product(names[last][0], inner)
      let alpha = try gate(stage, "alpha_cross_attn")
      let beta = try gate(stage, "alpha_dense")
      for index in after.indices {
        let sum = Double(before[index]) + alpha(index) * attended[index] + beta(index) * down[index]
        #expect(abs(Double(after[index]) - sum) < 1e-4 * max(1, abs(sum)))
      }
      // The first input of the text: the residual stream, normed.
      let first = try #require(shown[last - 3])
      let prefix = names[last - 3][0].components(separatedBy: ".self_attn.q_proj")[0]
        .components(separatedBy: ".cross_attn.q_proj")[0]
      let weight = try source.dense(prefix + ".input_layernorm.weight").values
      for row in prompt.tokens.indices {
        let x = before[(row * c.hiddenSize)..<((row + 1) * c.hiddenSize)].map(Double.init)
        let square = x.reduce(0) { $0 + $1 * $1 } / Double(c.hiddenSize)
        for k in 0..<c.hiddenSize {
          let expected = x[k] / (square + Double(c.rmsNormEpsilon)).squareRoot() * Double(weight[k])
          #expect(abs(Double(first[row * c.hiddenSize + k]) - expected) < 1e-4)
        }
      }
    }
  }

  @Test func stopsAndRefuses() throws {
    let c = try configuration()
    let stopped = CancellationFlag()
    stopped.raise()
    #expect(throws: ModelError.self) {
      let pass = try LayerwisePass(
        source: try source(c),
        configuration: c,
        compute: try ComputeContext(threads: 1),
        prompts: [try prompts(c)[1]],
        cancellation: stopped
      )
      try pass.advance(cancellation: stopped, observer: nil)
    }
    let wrong = try #require(
      LayerwisePrompt(tokens: [1, 9999], attendedImages: [-1, -1], images: [])
    )
    #expect(throws: ModelError.self) {
      try LayerwisePass(
        source: try source(c),
        configuration: c,
        compute: try ComputeContext(threads: 1),
        prompts: [wrong],
        cancellation: CancellationFlag()
      )
    }
    #expect(LayerwisePrompt(tokens: [1], attendedImages: [0], images: []) == nil)
    #expect(LayerwisePrompt(tokens: [], attendedImages: [], images: []) == nil)
  }
}
