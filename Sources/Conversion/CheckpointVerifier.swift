// Verifies an `.idfx` file against the checkpoint it was made from: every tensor is read, packed and
// compared byte by byte with what the file holds, on several threads. Independent of codec and level:
// the decoded planes are compared. Says which tensor differs, and how.

import Foundation
import IdeficsModel
import Tensors
import WeightFiles

/// Compares files with their sources.
public enum CheckpointVerifier {
  /// Checks every checksum of `file`; see `IdfxFile.verify`.
  public static func verify(
    _ file: IdfxFile,
    cancellation: CancellationFlag = CancellationFlag(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(ConversionError) {
    var done = 0
    let isWhole: Bool
    do throws(WeightFileError) {
      isWhole = try file.verify { bytes in
        done += bytes
        progress(done, file.fileByteCount)
        return !cancellation.isRaised
      }
    } catch {
      throw .weights(error)
    }
    guard isWhole else { throw .cancelled }
  }

  /// Converts `source` again, by the recipe in `file`, and compares.
  public static func verify(
    _ file: IdfxFile,
    against source: ConversionSource,
    adapter: String? = nil,
    calibration rows: CalibrationRows? = nil,
    threads: Int = ProcessInfo.processInfo.activeProcessorCount,
    cancellation: CancellationFlag = CancellationFlag(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(ConversionError) {
    let recipe = try QuantizationRecipe(json: Array(file.metadata.recipe.utf8), path: file.path)
    try recipe.check(rows, path: file.path)
    let plan = try ConversionPlan(source: source, recipe: recipe)
    let updates = try adapter.map { path throws(ConversionError) in
      try LowRankAdapter(path: path, plan: plan).updates
    }
    try compareFiles(file, source)
    guard file.tensors.map(\.name) == plan.steps.map(\.source.name) else {
      throw .differs(path: file.path, tensor: "", reason: "the file holds other tensors")
    }
    let maker = BlockMaker(folder: source.folder, updates: updates ?? [:])
    var calibrator: Calibrator?
    if let rows, let method = recipe.calibration {
      calibrator = Calibrator(
        source: source,
        plan: plan,
        maker: maker,
        rows: rows,
        method: method,
        from: 0,
        threads: threads,
        cancellation: cancellation
      )
    }
    var done = 0
    for (index, (tensor, step)) in zip(file.tensors, plan.steps).enumerated() {
      if let stage = calibrator?.stage(ofStep: index) { try calibrator?.run(through: stage) }
      let calibration = calibrator?.calibration(ofStep: index)
      try compare(tensor, step, in: file, maker, calibration, threads: threads)
      calibrator?.remove(index)
      guard !cancellation.isRaised else { throw .cancelled }
      done += step.source.byteCount
      progress(done, plan.sourceByteCount)
    }
  }

  private static func compareFiles(
    _ file: IdfxFile,
    _ source: ConversionSource
  ) throws(ConversionError) {
    do throws(WeightFileError) {
      for companion in source.companions {
        guard try file.embeddedFile(companion.name) == companion.bytes else {
          throw .badTensor(path: file.path, tensor: companion.name, reason: "is not the source's")
        }
      }
    } catch {
      throw .weights(error)
    }
    guard file.metadata.files == source.companions.map(\.name) else {
      throw .differs(path: file.path, tensor: "", reason: "the file embeds other files")
    }
  }

  private static func compare(
    _ tensor: IdfxTensor,
    _ step: ConversionStep,
    in file: IdfxFile,
    _ maker: BlockMaker,
    _ calibration: ColumnCalibration?,
    threads: Int
  ) throws(ConversionError) {
    func differs(_ reason: String) -> ConversionError {
      .differs(path: file.path, tensor: tensor.name, reason: reason)
    }
    guard tensor.shape == step.source.shape else { throw differs("it has another shape") }
    let stored: StoredPlanes
    var table = CodebookTable(.uniform)
    do throws(WeightFileError) {
      if let layout = step.layout {
        guard case .packed(layout, let codebook) = tensor.storage else {
          throw .badTensor(path: file.path, tensor: tensor.name, reason: "is stored otherwise")
        }
        let matrix = try file.packed(tensor.name)
        stored = StoredPlanes(
          codes: matrix.codes,
          scales: matrix.scales,
          rowScales: matrix.rowScales
        )
        if step.needsCodebook {
          let fitted = try maker.codebook(of: step, layout, calibration)
          guard fitted.codebook == codebook else {
            throw .badTensor(path: file.path, tensor: tensor.name, reason: "has another codebook")
          }
          table = fitted.table
        }
      } else {
        stored = StoredPlanes(codes: try file.dense(tensor.name).bytes)
      }
    } catch {
      throw .weights(error)
    }

    let failures = FirstFailure<ConversionError>()
    let perBlock = max(step.unitsPerBlock, 1)
    let count = (step.units + perBlock - 1) / perBlock
    ParallelWork.run(threads: min(threads, count), items: count) { [table] claim in
      while let index = claim(), !failures.hasFailed {
        let units = (index * perBlock)..<min((index + 1) * perBlock, step.units)
        do throws(WeightFileError) {
          let planes: PackedPlanes
          if let layout = step.layout {
            planes = try maker.packed(
              step,
              layout,
              tiles: units,
              table: table,
              calibration: calibration
            ).planes
          } else {
            planes = PackedPlanes(codes: try maker.dense(step, elements: units).bytes)
          }
          if let plane = stored.difference(from: planes, unit: units.lowerBound, of: step) {
            failures.record(
              .differs(
                path: file.path,
                tensor: tensor.name,
                reason: "the \(plane) of block \(index) are not what the source gives"
              ),
              order: index
            )
          }
        } catch {
          failures.record(.weights(error), order: index)
        }
      }
    }
    if let failure = failures.first { throw failure }
  }
}

/// The planes of a tensor of a file.
private struct StoredPlanes: Sendable {
  var codes: ByteSlice
  var scales: ByteSlice?
  var rowScales: ByteSlice?

  /// The name of a plane whose bytes from unit `unit` on are not those of `planes`, or `nil`.
  func difference(from planes: PackedPlanes, unit: Int, of step: ConversionStep) -> String? {
    func isEqual(_ slice: ByteSlice?, _ bytes: [UInt8], _ unitBytes: Int) -> Bool {
      guard !bytes.isEmpty else { return true }
      guard let slice, slice.count >= unit * unitBytes + bytes.count else { return false }
      return slice.bytes[(unit * unitBytes)...].prefix(bytes.count).elementsEqual(bytes)
    }
    if !isEqual(codes, planes.codes, step.layout?.tileBytes(.codes) ?? 4) { return "codes" }
    if !isEqual(scales, planes.scales, step.layout?.tileBytes(.scales) ?? 0) { return "scales" }
    if !isEqual(rowScales, planes.rowScales, step.layout?.tileBytes(.rowScales) ?? 0) {
      return "row scales"
    }
    return nil
  }
}
