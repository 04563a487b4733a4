// One run of the converter: turns the steps of a plan into numbered jobs, does them in parallel and
// appends their results in order. A job is the fit of one codebook, one block of one tensor, or the
// calibration of one stage of the model.

import Foundation
import IdeficsModel
import Tensors
import WeightFiles

/// The block of one tensor that a job makes.
struct ConversionBlock: Sendable {
  let step: Int
  /// Units of the first plane: tiles, or elements of a dense tensor.
  let units: Range<Int>
  let isFirst: Bool
  let isLast: Bool
}

/// What a job gives to the writer.
enum ConversionOutput: Sendable {
  /// A codebook was fitted; nothing is written.
  case nothing
  /// The first plane's block, coded; the other planes' bytes, not yet cut into blocks.
  case block(
    IdfxEncodedBlock,
    scales: [UInt8],
    rowScales: [UInt8],
    energies: QuantizationEnergies
  )
}

/// The state of one run.
final class ConversionRun: @unchecked Sendable {
  // Sendable: `writer`, `isStopped`, `pending…` and `completed` are touched by the pipeline's consumer only, which
  // is one thread at a time; everything else is constant or synchronised in itself.

  private enum Job {
    case calibrate(stage: Int)
    case fit(step: Int)
    case block(ConversionBlock)
  }

  private let source: ConversionSource
  private let plan: ConversionPlan
  private let options: ConversionOptions
  private let maker: BlockMaker
  private let calibrator: Calibrator?
  private let writer: IdfxWriter
  private let cancellation: CancellationFlag
  private let progress: @Sendable (ConversionProgress) -> Void
  private let jobs: [Job]
  private let codebooks = AwaitedValues<FittedCodebook>()
  private let encoders: EncoderPool
  private let plainTable = CodebookTable(.uniform)

  /// Whether a block is missing, as work was stopped.
  private var isStopped = false
  private var pendingScales: [UInt8] = []
  private var pendingRowScales: [UInt8] = []
  private var pendingEnergies = QuantizationEnergies()
  private var completed: Int
  /// Source bytes that an earlier run had converted.
  let resumedBytes: Int

  init(
    source: ConversionSource,
    plan: ConversionPlan,
    options: ConversionOptions,
    updates: [String: LowRankUpdate],
    writer: IdfxWriter,
    cancellation: CancellationFlag,
    progress: @escaping @Sendable (ConversionProgress) -> Void
  ) {
    self.source = source
    self.plan = plan
    self.options = options
    let maker = BlockMaker(folder: source.folder, updates: updates)
    self.maker = maker
    self.writer = writer
    self.cancellation = cancellation
    self.progress = progress
    encoders = EncoderPool(level: options.level)
    let done = writer.tensors.count
    resumedBytes = plan.steps.prefix(done).reduce(0) { $0 + $1.source.byteCount }
    completed = resumedBytes
    if let rows = options.calibration, let method = plan.recipe.calibration {
      let calibrator = Calibrator(
        source: source,
        plan: plan,
        maker: maker,
        rows: rows,
        method: method,
        from: done,
        threads: options.threads,
        cancellation: cancellation
      )
      self.calibrator = calibrator
      jobs = Self.jobs(plan, from: done, calibrator)
    } else {
      calibrator = nil
      jobs = Self.jobs(plan, from: done)
    }
  }

  /// The jobs of all steps from `first` on; a codebook is fitted one tensor ahead of its use.
  private static func jobs(_ plan: ConversionPlan, from first: Int) -> [Job] {
    var jobs: [Job] = []
    let fits = plan.steps.indices.dropFirst(first).filter { plan.steps[$0].needsCodebook }
    var nextFit = fits.makeIterator()
    if let step = nextFit.next() { jobs.append(.fit(step: step)) }
    for step in plan.steps.indices.dropFirst(first) {
      if plan.steps[step].needsCodebook, let ahead = nextFit.next() {
        jobs.append(.fit(step: ahead))
      }
      jobs += blocks(plan.steps[step], step)
    }
    return jobs
  }

  /// As above with calibration: a stage before the first step that needs it, so that the moments of one
  /// stage only are in memory.
  private static func jobs(
    _ plan: ConversionPlan,
    from first: Int,
    _ calibrator: Calibrator
  ) -> [Job] {
    var jobs: [Job] = []
    var calibrated = -1
    for step in plan.steps.indices.dropFirst(first) {
      if let stage = calibrator.stage(ofStep: step), stage > calibrated {
        jobs.append(.calibrate(stage: stage))
        calibrated = stage
      }
      if plan.steps[step].needsCodebook { jobs.append(.fit(step: step)) }
      jobs += blocks(plan.steps[step], step)
    }
    return jobs
  }

  /// The blocks of a step.
  private static func blocks(_ step: ConversionStep, _ index: Int) -> [Job] {
    guard step.unitsPerBlock > 0 else { return [] }
    return stride(from: 0, to: step.units, by: step.unitsPerBlock).map { start in
      let end = min(start + step.unitsPerBlock, step.units)
      return .block(
        ConversionBlock(
          step: index,
          units: start..<end,
          isFirst: start == 0,
          isLast: end == step.units
        )
      )
    }
  }

  /// Does everything; the writer then holds all tensors.
  func run() throws(ConversionError) {
    if let step = plan.steps.first(where: { $0.unitsPerBlock == 0 }) {
      throw .weights(
        .badTensor(
          path: source.folder.path,
          tensor: step.source.name,
          reason: "has rows too long for the format"
        )
      )
    }
    report()
    // Three blocks a thread: one being made, one waiting for its turn, one to even things out.
    let pipeline = OrderedPipeline<ConversionOutput, ConversionError>(window: 3 * options.threads)
    try pipeline.run(
      threads: options.threads,
      items: jobs.count,
      produce: { (job) throws(ConversionError) in
        do throws(ConversionError) {
          return try self.produce(self.jobs[job])
        } catch {
          self.stop()
          throw error
        }
      },
      consume: { (job, output) throws(ConversionError) in
        do throws(ConversionError) {
          try self.consume(self.jobs[job], output)
        } catch {
          self.stop()
          throw error
        }
      }
    )
  }

  /// Wakes the threads that wait for what will not come.
  private func stop() {
    codebooks.stop()
    calibrator?.stop()
  }

  // MARK: Producing

  private func produce(_ job: Job) throws(ConversionError) -> ConversionOutput {
    guard !cancellation.isRaised else { throw .cancelled }
    if case .calibrate(let stage) = job {
      try calibrator?.run(through: stage)
      return .nothing
    }
    do throws(WeightFileError) {
      switch job {
      case .calibrate: return .nothing
      case .fit(let index):
        let step = plan.steps[index]
        guard let layout = step.layout else { return .nothing }
        let calibration = calibrator?.calibration(ofStep: index)
        guard !isUncalibrated(index, calibration) else { return .nothing }
        codebooks.set(try maker.codebook(of: step, layout, calibration), for: index)
        return .nothing
      case .block(let block):
        return try self.block(plan.steps[block.step], block)
      }
    } catch {
      throw .weights(error)
    }
  }

  /// Whether a step should have a calibration and was given none, because work was stopped.
  private func isUncalibrated(_ step: Int, _ calibration: ColumnCalibration?) -> Bool {
    calibration == nil && calibrator?.stage(ofStep: step) != nil
  }

  private func block(
    _ step: ConversionStep,
    _ block: ConversionBlock
  ) throws(WeightFileError) -> ConversionOutput {
    guard let layout = step.layout else {
      let (bytes, energies) = try maker.dense(step, elements: block.units)
      let coded = encoders.encode(bytes, options.codec(of: step.role))
      return .block(coded, scales: [], rowScales: [], energies: energies)
    }
    var table = plainTable
    if step.needsCodebook {
      guard let fitted = codebooks.value(for: block.step) else { return .nothing }
      table = fitted.table
    }
    let calibration = calibrator?.calibration(ofStep: block.step)
    guard !isUncalibrated(block.step, calibration) else { return .nothing }
    let (planes, energies) = try maker.packed(
      step,
      layout,
      tiles: block.units,
      table: table,
      calibration: calibration
    )
    return .block(
      encoders.encode(planes.codes, options.codec(of: step.role)),
      scales: planes.scales,
      rowScales: planes.rowScales,
      energies: energies
    )
  }

  // MARK: Consuming

  private func consume(_ job: Job, _ output: ConversionOutput) throws(ConversionError) {
    guard case .block(let block) = job, !isStopped else { return }
    guard case .block(let codes, let scales, let rowScales, let energies) = output else {
      // A block that was not made because work was stopped: nothing may be written after the hole.
      isStopped = true
      return
    }
    let step = plan.steps[block.step]
    pendingScales += scales
    pendingRowScales += rowScales
    pendingEnergies += energies
    guard !pendingEnergies.isNotFinite else {
      throw .notFinite(path: source.folder.path, tensor: step.source.name)
    }
    do throws(WeightFileError) {
      let codec = options.codec(of: step.role)
      if block.isFirst { try writer.beginPlane(codec) }
      try writer.append(codes)
      guard block.isLast else { return }
      var storage = IdfxStorage.dense
      if let layout = step.layout {
        try append(plane: pendingScales, unit: layout.tileBytes(.scales), codec)
        try append(plane: pendingRowScales, unit: layout.tileBytes(.rowScales), codec)
        var codebook = Codebook.uniform
        if step.needsCodebook {
          guard let fitted = codebooks.value(for: block.step) else {
            preconditionFailure("the block was made with a codebook")
          }
          codebook = fitted.codebook
        }
        storage = .packed(layout, codebook)
        codebooks.remove(block.step)
        calibrator?.remove(block.step)
      }
      try writer.endTensor(
        step.source.name,
        shape: step.source.shape,
        storage: storage,
        codec: codec,
        signalEnergy: pendingEnergies.signal,
        errorEnergy: pendingEnergies.error
      )
    } catch {
      throw .weights(error)
    }
    pendingScales = []
    pendingRowScales = []
    pendingEnergies = QuantizationEnergies()
    completed += step.source.byteCount
    report()
  }

  private func append(
    plane: [UInt8],
    unit: Int,
    _ codec: BlockCodec
  ) throws(WeightFileError) {
    guard !plane.isEmpty, let block = IdfxFormat.blockByteCount(unitBytes: unit) else { return }
    try writer.beginPlane(codec)
    for start in stride(from: 0, to: plane.count, by: block) {
      let bytes = Array(plane[start..<min(start + block, plane.count)])
      try writer.append(encoders.encode(bytes, codec))
    }
  }

  private func report() {
    progress(
      ConversionProgress(
        completedBytes: completed,
        totalBytes: plan.sourceByteCount,
        resumedBytes: resumedBytes
      )
    )
  }
}

extension ConversionStep {
  /// Whether a codebook is fitted to the tensor.
  var needsCodebook: Bool { layout?.encoding.hasCodebook ?? false }

  /// Tiles of a packed tensor, elements of a dense one.
  var units: Int { layout?.tiles ?? source.shape.count }

  /// Units in a block of the first plane; 0 when not even one fits.
  var unitsPerBlock: Int {
    let unit = layout?.tileBytes(.codes) ?? 4
    return IdfxFormat.blockByteCount(unitBytes: unit).map { $0 / unit } ?? 0
  }
}

/// Block encoders, reused: a zstd context is large, and only one thread may use it at a time.
private final class EncoderPool: @unchecked Sendable {
  // Sendable: `idle` is touched with `lock` held only, and an encoder is in it or in use by one thread.
  private let lock = NSLock()
  private var idle: [IdfxBlockEncoder] = []
  private let level: Int

  init(level: Int) { self.level = level }

  func encode(_ bytes: [UInt8], _ codec: BlockCodec) -> IdfxEncodedBlock {
    guard codec == .zstd else { return IdfxBlockEncoder(codec: codec, level: level).encode(bytes) }
    let encoder =
      lock.withLock { idle.popLast() } ?? IdfxBlockEncoder(codec: codec, level: level)
    defer { lock.withLock { idle.append(encoder) } }
    return encoder.encode(bytes)
  }
}
