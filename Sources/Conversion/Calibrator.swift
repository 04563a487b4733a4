// Runs the prompts of a calibration through the model being converted, a stage of the text stack at a
// time and in the order of the file, and gives the quantiser what it needs for the matrices of that
// stage. Holds one layer's weights, in the precision of the source, and the moments of its inputs; the
// hidden states of all prompts stay. Deterministic: computed with the kernels of the runtime.

import Foundation
import IdeficsModel
import Kernels
import Tensors
import WeightFiles

/// Calibration of the tensors of one conversion.
final class Calibrator: @unchecked Sendable {
  // Sendable: `pass` is touched with `lock` held only; `results` is synchronised in itself.

  private let lock = NSLock()
  private let source: ConversionSource
  private let plan: ConversionPlan
  private let maker: BlockMaker
  private let rows: CalibrationRows
  private let method: CalibrationMethod
  private let threads: Int
  private let cancellation: CancellationFlag
  private let results = AwaitedValues<ColumnCalibration>()
  /// Steps of the plan by the name of their tensor: those that are calibrated.
  private let steps: [String: Int]
  private let stages: [LayerwiseStage]
  private let stageOfStep: [Int: Int]
  private var pass: (LayerwisePass, ComputeContext)?

  /// A calibrator for the steps from `first` on.
  init(
    source: ConversionSource,
    plan: ConversionPlan,
    maker: BlockMaker,
    rows: CalibrationRows,
    method: CalibrationMethod,
    from first: Int,
    threads: Int,
    cancellation: CancellationFlag
  ) {
    self.source = source
    self.plan = plan
    self.maker = maker
    self.rows = rows
    self.method = method
    self.threads = threads
    self.cancellation = cancellation
    var wanted: [String: Int] = [:]
    for (index, step) in plan.steps.enumerated() where index >= first && step.needsCodebook {
      wanted[step.source.name] = index
    }
    stages = LayerwiseStage.all(of: source.configuration)
    var steps: [String: Int] = [:]
    var stageOfStep: [Int: Int] = [:]
    for (stage, inputs) in stages.map(\.inputs).enumerated() {
      for name in inputs.flatMap(\.self) {
        guard let step = wanted[name] else { continue }
        steps[name] = step
        stageOfStep[step] = stage
      }
    }
    self.steps = steps
    self.stageOfStep = stageOfStep
  }

  /// The stage whose inputs `step` needs, or `nil` when it is not calibrated.
  func stage(ofStep step: Int) -> Int? { stageOfStep[step] }

  /// The calibration of a step, once `run` has got there; `nil` when it has none or `stop` was called.
  func calibration(ofStep step: Int) -> ColumnCalibration? {
    stageOfStep[step] == nil ? nil : results.value(for: step)
  }

  /// Forgets a step, which nobody will ask for again.
  func remove(_ step: Int) { results.remove(step) }

  /// Wakes all who wait.
  func stop() { results.stop() }

  /// Runs the model up to and including a stage.
  func run(through stage: Int) throws(ConversionError) {
    lock.lock()
    defer { lock.unlock() }
    do {
      let (pass, compute) = try self.pass ?? begin()
      self.pass = (pass, compute)
      while stages.count - pass.remaining.count <= stage {
        try advance(pass, stages[stages.count - pass.remaining.count], compute)
      }
      // Nothing is left to calibrate: let go of the hidden states.
      if stageOfStep.values.max().map({ $0 <= stage }) ?? true { self.pass = nil }
    } catch ModelError.cancelled {
      throw .cancelled
    } catch ModelError.weights(let error) {
      throw .weights(error)
    } catch let error as ConversionError {
      throw error
    } catch {
      throw .calibration(name: rows.source.name, reason: "\(error)")
    }
  }

  private func begin() throws -> (LayerwisePass, ComputeContext) {
    let compute = try ComputeContext(threads: min(threads, Processors.recommendedThreads))
    let pass = try LayerwisePass(
      source: CheckpointTensors(maker: maker),
      configuration: source.configuration,
      compute: compute,
      prompts: rows.prompts,
      cancellation: cancellation
    )
    return (pass, compute)
  }

  private func advance(
    _ pass: LayerwisePass,
    _ stage: LayerwiseStage,
    _ compute: ComputeContext
  ) throws {
    let inputs = stage.inputs
    var grams: [Int: GramMatrix] = [:]
    let wanted = inputs.map { names in names.contains { steps[$0] != nil } }
    let observer: LayerwisePass.Observer = { input, x in
      guard wanted[input] else { return }
      let gram = grams[input] ?? GramMatrix(columns: x.columns)
      grams[input] = gram
      gram.add(x, compute)
    }
    try pass.advance(
      cancellation: cancellation,
      observer: wanted.contains(true) ? observer : nil
    )
    for (input, names) in inputs.enumerated() where wanted[input] {
      guard !cancellation.isRaised else { throw ConversionError.cancelled }
      guard let step = names.lazy.compactMap({ self.steps[$0] }).first,
        let layout = plan.steps[step].layout
      else { continue }
      // No prompt has an image: the moments of image states are unknown, and all columns alike.
      let gram = grams.removeValue(forKey: input) ?? GramMatrix(columns: layout.columns)
      let calibration = ColumnCalibration(gram, method: method, compute)
      for name in names {
        if let step = steps[name] { results.set(calibration, for: step) }
      }
    }
  }
}
