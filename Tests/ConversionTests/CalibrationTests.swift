// Calibration: the factor is that of the moments, compensated rounding loses less where it counts, and a
// calibrated conversion depends on its prompts and on nothing else.

import Conversion
import Foundation
import IdeficsModel
import Kernels
import Synchronization
import Tensors
import TestSupport
import Testing
import WeightFiles

/// Inputs whose columns depend on each other and are of uneven size, as activations are.
private func inputs(rows: Int, columns: Int, seed: UInt64) -> [Float] {
  let noise = SyntheticWeights.normal(rows * columns, seed: seed)
  var random = SeededGenerator(seed: seed + 1)
  let sizes = (0..<columns).map { _ in Float.random(in: 0.2...3, using: &random) }
  var values = noise
  for row in 0..<rows {
    for k in 0..<columns {
      let before = k > 0 ? values[row * columns + k - 1] : 0
      values[row * columns + k] = 0.8 * before + sizes[k] * noise[row * columns + k]
    }
  }
  return values
}

/// `Σ xᵀx / rows`, in float64.
private func moments(_ x: [Float], columns: Int) -> [[Double]] {
  let rows = x.count / columns
  return (0..<columns).map { i in
    (0..<columns).map { j in
      (0..<rows).reduce(0.0) { $0 + Double(x[$1 * columns + i]) * Double(x[$1 * columns + j]) }
        / Double(rows)
    }
  }
}

@Suite struct CalibrationTests {
  private func calibration(
    _ x: [Float],
    _ columns: Int,
    _ method: CalibrationMethod,
    isa: ISA? = nil,
    threads: Int = 1
  ) throws -> ColumnCalibration {
    try #require(
      ColumnCalibration(
        inputs: x,
        columns: columns,
        method: method,
        compute: try ComputeContext(isa: isa, threads: threads)
      )
    )
  }

  @Test(arguments: [1, 15, 16, 33, 64, 150])
  func theFactorIsThatOfTheMoments(_ columns: Int) throws {
    // More rows than columns, and fewer: then the moments alone are singular.
    for rows in [3 * columns + 5, columns / 2 + 1] {
      let x = inputs(rows: rows, columns: columns, seed: 5)
      let h = moments(x, columns: columns)
      let mean = (0..<columns).reduce(0.0) { $0 + h[$1][$1] } / Double(columns)
      let factor = try calibration(x, columns, .compensated)
      func u(_ i: Int, _ j: Int) -> Double { i == j ? 1 : Double(factor.passed(from: i, to: j)) }
      var largest = 0.0
      for i in 0..<columns {
        for j in i..<columns {
          let product = (j..<columns).reduce(0.0) {
            $0 + u(i, $1) * Double(factor.importance[$1]) * u(j, $1)
          }
          let damped = h[i][j] / mean + (i == j ? 0.01 : 0)
          largest = max(largest, abs(product - damped))
        }
      }
      #expect(largest < 1e-4, "\(columns) columns, \(rows) rows: \(largest)")
    }
  }

  @Test func weightsAreTheMeanSquares() throws {
    let x = inputs(rows: 700, columns: 40, seed: 8)
    let h = moments(x, columns: 40)
    let mean = (0..<40).reduce(0.0) { $0 + h[$1][$1] } / 40
    let weights = try calibration(x, 40, .weighted).importance
    for k in 0..<40 { #expect(abs(Double(weights[k]) - h[k][k] / mean - 0.01) < 1e-4) }
  }

  @Test func theFactorIsTheSameEverywhere() throws {
    let columns = 150
    let x = inputs(rows: 600, columns: columns, seed: 2)
    func bits(_ isa: ISA, _ threads: Int) throws -> [UInt32] {
      let factor = try calibration(x, columns, .compensated, isa: isa, threads: threads)
      return factor.importance.map(\.bitPattern)
        + (0..<columns).flatMap { i in
          (0..<columns).map { factor.passed(from: i, to: $0).bitPattern }
        }
    }
    let expected = try bits(.portable, 1)
    for isa in ISA.available {
      for threads in [1, 2, 3] { #expect(try bits(isa, threads) == expected) }
    }
  }

  /// `Σ δ H δᵀ` over the rows of a matrix, `δ` what packing changed.
  private func loss(_ packed: PackedMatrix, _ weights: [Float], _ h: [[Double]]) -> Double {
    let columns = packed.columns
    return (0..<packed.rows).reduce(0.0) { sum, row in
      let delta = (0..<columns).map {
        Double(packed.value(row: row, column: $0)) - Double(weights[row * columns + $0])
      }
      return sum
        + (0..<columns).reduce(0.0) { sum, i in
          sum + delta[i] * (0..<columns).reduce(0.0) { $0 + h[i][$1] * delta[$1] }
        }
    }
  }

  /// On the inputs it was calibrated with, each step loses less of what it minimises: weighting of the error of
  /// each column by itself (the scales of single matrices can come out worse, their sum does not), compensation of
  /// the product.
  @Test(arguments: [WeightEncoding.q4g16, .q4g32], [(20, 96), (33, 150)])
  func calibrationLosesLess(_ encoding: WeightEncoding, _ shape: (rows: Int, columns: Int)) throws {
    let (rows, columns) = shape
    var (plain, weighted) = (0.0, 0.0)
    for seed in 1...3 as ClosedRange<UInt64> {
      let weights = SyntheticWeights.studentT5(rows * columns, seed: seed)
      let x = inputs(rows: 4 * columns, columns: columns, seed: seed + 10)
      let h = moments(x, columns: columns)
      let diagonal = h.indices.map { i in h[i].indices.map { $0 == i ? h[i][i] : 0 } }
      func loss(_ method: CalibrationMethod?, _ h: [[Double]]) throws -> Double {
        let packed = try #require(
          WeightQuantizer.pack(
            weights,
            rows: rows,
            columns: columns,
            encoding: encoding,
            calibration: try method.map { try calibration(x, columns, $0) }
          )
        )
        return self.loss(packed.matrix, weights, h)
      }
      plain += try loss(nil, diagonal)
      weighted += try loss(.weighted, diagonal)
      let compensated = try loss(.compensated, h) / loss(nil, h)
      #expect(compensated < 0.8, "\(compensated)")
    }
    #expect(weighted < plain, "\(weighted / plain)")
  }

  /// The error that is reported is the error there is, compensated or not, and padding is no column.
  @Test(arguments: [WeightEncoding.q4g16, .q4g32], CalibrationMethod.allCases)
  func reportsTheErrorThereIs(_ encoding: WeightEncoding, _ method: CalibrationMethod) throws {
    for (rows, columns) in [(1, 1), (17, 33), (20, 100), (16, 48)] {
      let weights = SyntheticWeights.studentT5(rows * columns, seed: UInt64(rows))
      let x = inputs(rows: 60, columns: columns, seed: 4)
      let packed = try #require(
        WeightQuantizer.pack(
          weights,
          rows: rows,
          columns: columns,
          encoding: encoding,
          calibration: try calibration(x, columns, method)
        )
      )
      let error = weights.indices.reduce(0.0) {
        let value = packed.matrix.value(row: $1 / columns, column: $1 % columns)
        return $0 + pow(Double(weights[$1]) - Double(value), 2)
      }
      #expect(abs(packed.errorEnergy - error) <= 1e-4 * error + 1e-12)
      #expect(packed.relativeSquaredError < 0.05)
    }
  }

  @Test func inputsThatAreAlwaysZeroLeavePlainRounding() throws {
    let weights = SyntheticWeights.normal(16 * 32, seed: 1)
    let zeros = [Float](repeating: 0, count: 5 * 32)
    for method in CalibrationMethod.allCases {
      let packed = try #require(
        WeightQuantizer.pack(
          weights,
          rows: 16,
          columns: 32,
          encoding: .q4g32,
          calibration: try calibration(zeros, 32, method)
        )
      )
      #expect(packed.relativeSquaredError < 0.01)
    }
  }
}

@Suite struct CalibratedConversionTests {
  /// Prompts of the micro model: two with an image, one without.
  private func rows(seed: UInt64 = 1) throws -> CalibrationRows {
    var random = SeededGenerator(seed: seed)
    let side = try ConversionSource(path: Fixture.url("models/micro").path)
      .configuration.vision.imageSize
    let prompts = try [(20, true), (7, false), (33, true)].map { count, hasImage in
      let pixels = (0..<(3 * side * side)).map { _ in Float.random(in: -2...2, using: &random) }
      let image = try #require(PixelTensor(height: side, width: side, values: pixels))
      let tokens = (0..<count).map { _ in Int32.random(in: 0..<515, using: &random) }
      return try #require(
        LayerwisePrompt(
          tokens: tokens,
          attendedImages: tokens.indices.map { hasImage && $0 > 2 ? 0 : -1 },
          images: hasImage ? [image] : []
        )
      )
    }
    return CalibrationRows(name: "rows.jsonl", contents: [UInt8(seed)], prompts: prompts)
  }

  private static let recipe = QuantizationRecipe.q4.calibrated(by: .compensated)

  @Test(arguments: CalibrationMethod.allCases)
  func convertsAndVerifies(_ method: CalibrationMethod) throws {
    let rows = try rows()
    let recipe = QuantizationRecipe.q4.calibrated(by: method)
    let converted = try Converted(recipe: recipe) { $0.calibration = rows }
    let file = try IdfxFile.open(converted.path)
    #expect(try file.verify())
    #expect(file.metadata.recipe == recipe.json)
    #expect(try QuantizationRecipe(json: Array(recipe.json.utf8), path: "x") == recipe)
    #expect(file.metadata.sources.map(\.name) == ["model.safetensors", "rows.jsonl"])
    let source = try ConversionSource(path: Fixture.url("models/micro").path)
    try CheckpointVerifier.verify(file, against: source, calibration: rows)
    #expect(throws: ConversionError.self) { try CheckpointVerifier.verify(file, against: source) }
    let others = try self.rows(seed: 2)
    #expect(throws: ConversionError.self) {
      try CheckpointVerifier.verify(file, against: source, calibration: others)
    }
    // All 4-bit tensors of the text stack are others than without calibration; nothing else is.
    let uncalibrated = try Converted()
    let plain = try IdfxFile.open(uncalibrated.path)
    for (a, b) in zip(file.tensors, plain.tensors) {
      let isText = a.encoding.hasCodebook
      #expect((a.errorEnergy != b.errorEnergy) == isText, "\(a.name)")
    }
  }

  @Test func bytesDoNotDependOnThreads() throws {
    let rows = try rows()
    let one = try Converted(recipe: Self.recipe) {
      $0.calibration = rows
      $0.threads = 1
    }
    let other = try Converted(recipe: Self.recipe) {
      $0.calibration = rows
      $0.threads = 5
    }
    #expect(try one.bytes() == other.bytes())
  }

  @Test func resumesToTheSameBytes() throws {
    let rows = try rows()
    let whole = try Converted(recipe: Self.recipe) { $0.calibration = rows }
    let source = try ConversionSource(path: Fixture.url("models/micro").path)
    let plan = try ConversionPlan(source: source, recipe: Self.recipe)
    let folder = try TemporaryFolder()
    var options = ConversionOptions()
    options.calibration = rows
    var interruptions = 0
    while !folder.exists("model.idfx") {
      let cancellation = CancellationFlag()
      let steps = Atomic(0)
      do {
        _ = try CheckpointConverter.convert(
          source,
          plan: plan,
          to: folder("model.idfx"),
          options: options,
          cancellation: cancellation
        ) { _ in if steps.add(1, ordering: .relaxed).newValue == 12 { cancellation.raise() } }
      } catch ConversionError.cancelled {
        interruptions += 1
      }
    }
    #expect(interruptions > 3)
    #expect(try folder.read("model.idfx") == whole.bytes())
  }

  @Test func otherPromptsDoNotResumeWhatSomeBegan() throws {
    let source = try ConversionSource(path: Fixture.url("models/micro").path)
    let plan = try ConversionPlan(source: source, recipe: Self.recipe)
    let folder = try TemporaryFolder()
    var options = ConversionOptions()
    options.calibration = try rows()
    let cancellation = CancellationFlag()
    #expect(throws: ConversionError.self) {
      try CheckpointConverter.convert(
        source,
        plan: plan,
        to: folder("model.idfx"),
        options: options,
        cancellation: cancellation
      ) { if $0.completedBytes > 0 { cancellation.raise() } }
    }
    options.calibration = try rows(seed: 2)
    let report = try CheckpointConverter.convert(
      source,
      plan: plan,
      to: folder("model.idfx"),
      options: options
    )
    #expect(report.resumedBytes == 0)
  }

  @Test func promptsAreGivenExactlyWhenTheRecipeAsks() throws {
    let rows = try rows()
    #expect(throws: ConversionError.self) { try Converted(recipe: Self.recipe) }
    #expect(throws: ConversionError.self) { try Converted(recipe: .q4) { $0.calibration = rows } }
  }
}
