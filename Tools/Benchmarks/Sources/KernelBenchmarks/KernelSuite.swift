// The measurements. Each repetition lies between two probes of the limit that it is held against, since
// the limits of a shared machine move from second to second; the median of the shares counts, where probes agree.

import Kernels
import Tensors

/// All measurements of one instruction set on a number of threads.
final class KernelSuite {
  private let context: ComputeContext
  private let probe: MachineProbe
  private let prefix: String
  private let repeats: Int
  private var noise = Noise()

  init(isa: ISA, threads: Int, repeats: Int) throws(KernelError) {
    context = try ComputeContext(isa: isa, threads: threads)
    probe = MachineProbe(context: context)
    prefix = "\(isa.rawValue).\(threads)."
    self.repeats = repeats
  }

  /// Runs the measurements whose group is in `only` (all, when it is empty) and reports each.
  func run(only: [String], report: (_ name: String, Measured) -> Void) throws {
    let groups: [(String, () throws -> [(String, Measured)])] = [
      ("gemv", gemv), ("gemm", gemm), ("smooth", smooth), ("attention", attention),
      ("vision", vision),
    ]
    for (name, measure) in groups where only.isEmpty || only.contains(name) {
      for (test, measured) in try measure() { report(prefix + test, measured) }
    }
  }

  // MARK: groups

  /// One token times matrices that lie in memory, not in a cache: share of the read rate.
  private func gemv() -> [(String, Measured)] {
    [WeightEncoding.q4g16, .q4g32, .q8].map { encoding in
      let count = max(1, (256 << 20) / layout(4096, 11008, encoding).byteCount)
      let matrices = (0..<count).map { _ in noise.weights(layout(4096, 11008, encoding)) }
      let bytes = matrices.reduce(0) { $0 + $1.byteCount }
      let x = noise.activations(rows: 1, columns: 11008)
      let y = Activations(rows: 1, columns: 4096)
      let share = share(of: .reading, work: bytes) {
        for matrix in matrices { context.linear(x.matrix, matrix, into: &y.matrix) }
      }
      return ("gemv.\(encoding.name)", share)
    }
  }

  /// Many tokens times one matrix, quantisation of the activations included: share of the int8 rate.
  private func gemm() -> [(String, Measured)] {
    var results: [(String, Measured)] = []
    for (n, k) in [(4096, 4096), (11008, 4096), (4096, 11008)] {
      for encoding in [WeightEncoding.q4g16, .q4g32] {
        let matrix = noise.weights(layout(n, k, encoding))
        for tokens in [32, 128, 512] {
          let share = productShare([matrix], tokens: tokens)
          results.append(("gemm.\(encoding.name).\(n)x\(k).\(tokens)", share))
        }
      }
    }
    return results
  }

  /// The smallest ratio of the throughputs of neighbouring batch sizes: 1 where no token slows others.
  private func smooth() -> [(String, Measured)] {
    let counts = Array(1...19) + [24, 25, 32, 33, 36, 37, 48, 49]
    let matrix = noise.weights(layout(4096, 4096, .q4g16))
    let inputs = counts.map { noise.activations(rows: $0, columns: 4096) }
    let y = Activations(rows: counts.max() ?? 1, columns: 4096)
    var rates = [[Double]](repeating: [], count: counts.count)
    for _ in 0..<(repeats * 3) {
      for (index, count) in counts.enumerated() {
        let seconds = time { context.linear(inputs[index].matrix, matrix, into: &y.matrix) }
        rates[index].append(Double(count) / seconds)
      }
    }
    let medians = rates.map(median)
    let smallest = zip(medians.dropFirst(), medians).map { $0.0 / $0.1 }.min() ?? 0
    return [("smooth", Measured(share: smallest))]
  }

  /// Attention over 2,048 cached tokens.
  ///
  /// A decode step: share of the read rate. Prefill of all: share of the time of a LLaMA-7B layer that
  /// its products take.
  private func attention() throws -> [(String, Measured)] {
    let depth = 2048
    var results: [(String, Measured)] = []
    for element in [KVElement.f16, .int8] {
      // As many layers as exceed every cache.
      let layers = try (0..<(element == .f16 ? 4 : 8)).map { _ in
        try AttentionLayer(context, depth: depth, element: element, &noise)
      }
      let q = noise.activations(rows: 1, columns: 4096)
      let out = Activations(rows: 1, columns: 4096)
      let bytes = layers.reduce(0) { $0 + $1.byteCount }
      let share = share(of: .reading, work: bytes) {
        for layer in layers { layer.attend(context, q, into: out) }
      }
      results.append(("attention.decode.\(element.rawValue)", share))
    }
    let layer = try AttentionLayer(context, depth: depth, element: .f16, &noise)
    let q = noise.activations(rows: depth, columns: 4096)
    let out = Activations(rows: depth, columns: 4096)
    let products = [(12288, 4096), (4096, 4096), (22016, 4096), (4096, 11008)].map { n, k in
      Product(noise.weights(layout(n, k, .q4g16)), noise.activations(rows: depth, columns: k))
    }
    let shares = (0..<repeats).map { _ in
      let others = time { for product in products { product.run(context) } }
      return others / (others + time { layer.attend(context, q, into: out) })
    }
    return results + [("attention.prefill.f16", Measured(share: median(shares)))]
  }

  /// The products of a ViT-H layer for one image: share of the int8 rate (float32 and bfloat16 have
  /// peaks of a quarter to a half of it).
  private func vision() -> [(String, Measured)] {
    [WeightEncoding.q8, .bf16, .f32].map { encoding in
      let shapes = [(1280, 1280), (1280, 1280), (1280, 1280), (1280, 1280), (5120, 1280)]
      let matrices = (shapes + [(1280, 5120)]).map { noise.weights(layout($0.0, $0.1, encoding)) }
      return ("vision.\(encoding.name)", productShare(matrices, tokens: 257))
    }
  }

  // MARK: measuring

  private func productShare(_ weights: [PackedMatrix], tokens: Int) -> Measured {
    let products = weights.map {
      Product($0, noise.activations(rows: tokens, columns: $0.columns))
    }
    let work = weights.reduce(0) { $0 + $1.rows * $1.columns * tokens }
    return share(of: .multiplying, work: work) {
      for product in products { product.run(context) }
    }
  }

  /// Median share of a limit that `body`, which does `work` of its unit, reaches.
  private func share(of limit: MachineProbe.Limit, work: Int, _ body: () -> Void) -> Measured {
    body()
    let runs = probe.runs(of: Double(work), against: limit, repeats: repeats, body)
    return Measured(share: runs.share, trust: runs.trust)
  }

  private func time(_ body: () -> Void) -> Double { ContinuousClock().measure(body) / .seconds(1) }

  private func median(_ values: [Double]) -> Double {
    values.isEmpty ? 0 : values.sorted()[values.count / 2]
  }

  private func layout(_ rows: Int, _ columns: Int, _ encoding: WeightEncoding) -> PackedLayout {
    guard let layout = PackedLayout(rows: rows, columns: columns, encoding: encoding) else {
      preconditionFailure("the shapes above are possible")
    }
    return layout
  }
}

/// A result.
struct Measured {
  /// Share of a limit, or a ratio that needs none.
  var share: Double
  /// Whether it can be relied on.
  var trust = ProbedRuns.Trust.steady
}
