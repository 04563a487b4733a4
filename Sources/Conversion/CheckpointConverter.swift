// Converts a checkpoint to an `.idfx` file: blocks are read, quantised and compressed on several
// threads and appended in order. Memory is bounded by the blocks in flight, not by the model. The bytes
// depend on the source, the recipe, the codec and its level only: not on threads, machine or how often
// the work was interrupted. Refuses to replace a file unless told to.

import Foundation
import IdeficsModel
import Tensors
import WeightFiles

/// How a conversion is to be done.
public struct ConversionOptions: Sendable {
  /// Coding of blocks, but for those of the embedding.
  public var codec: BlockCodec = .zstd
  /// Level of zstd.
  public var level = 3
  /// Worker threads.
  public var threads = max(1, ProcessInfo.processInfo.activeProcessorCount)
  /// Whether a file of the final name may be replaced.
  public var replacesExisting = false
  /// Folder of a PEFT LoRA adapter to merge, or `nil`.
  public var adapter: String?
  /// Prompts to calibrate with: given if, and only if, the recipe asks for calibration.
  public var calibration: CalibrationRows?

  /// Coding of the blocks of a parameter: of what is read by row, raw ones, so that only those rows take memory.
  func codec(of role: WeightRole) -> BlockCodec { role.isReadByRow ? .raw : codec }

  /// The defaults: zstd level 3, every core, nothing replaced, no adapter, no calibration.
  public init() {}
}

/// How far a conversion is.
public struct ConversionProgress: Sendable {
  /// Source bytes converted, those of an earlier, interrupted run included.
  public let completedBytes: Int
  /// Source bytes of the whole conversion.
  public let totalBytes: Int
  /// Source bytes that an earlier run had converted.
  public let resumedBytes: Int
}

/// Converts checkpoints.
public enum CheckpointConverter {
  /// What is recorded as the writer of a file.
  public static let toolVersion = "idefix 0.1.0"

  /// Converts `source` by `plan` into the file at `path`.
  ///
  /// Work that was interrupted is resumed when everything that the bytes depend on is the same.
  /// `progress` is called from one thread at a time; raising `cancellation` stops the work with
  /// `ConversionError.cancelled`, resumable.
  public static func convert(
    _ source: ConversionSource,
    plan: ConversionPlan,
    to path: String,
    options: ConversionOptions = ConversionOptions(),
    cancellation: CancellationFlag = CancellationFlag(),
    progress: @escaping @Sendable (ConversionProgress) -> Void = { _ in }
  ) throws(ConversionError) -> ConversionReport {
    guard options.replacesExisting || !FileManager.default.fileExists(atPath: path) else {
      throw .exists(path: path)
    }
    try plan.recipe.check(options.calibration, path: source.folder.path)
    let started = ContinuousClock.now
    let adapter = try options.adapter.map { path throws(ConversionError) in
      try LowRankAdapter(path: path, plan: plan)
    }
    let digests = SourceDigests(
      files: source.folder.shards.map(\.file) + (adapter.map { [$0.file] } ?? []),
      cancellation: cancellation
    )
    let writer: IdfxWriter
    do throws(WeightFileError) {
      writer = try IdfxWriter(
        path: path,
        codec: options.codec,
        identity: identity(source, plan, options, adapter)
      )
      let encoder = IdfxBlockEncoder(codec: options.codec, level: options.level)
      for companion in source.companions.dropFirst(writer.files.count) {
        try writer.append(file: companion.name, contents: companion.bytes, encoder: encoder)
      }
    } catch {
      throw .weights(error)
    }
    digests.start()
    let run = ConversionRun(
      source: source,
      plan: plan,
      options: options,
      updates: adapter?.updates ?? [:],
      writer: writer,
      cancellation: cancellation,
      progress: progress
    )
    do throws(ConversionError) {
      try run.run()
    } catch {
      digests.stop()
      throw error
    }
    let sources: [IdfxSource]?
    do throws(WeightFileError) {
      sources = try digests.wait()
      for shard in source.folder.shards { try shard.file.checkUnchanged() }
    } catch {
      throw .weights(error)
    }
    guard var sources, !cancellation.isRaised else { throw .cancelled }
    if let calibration = options.calibration { sources.append(calibration.source) }
    do throws(WeightFileError) {
      try writer.seal(toolVersion: toolVersion, recipe: plan.recipe.json, sources: sources)
    } catch {
      throw .weights(error)
    }
    let seconds = started.duration(to: .now)
    return ConversionReport(
      plan: plan,
      tensors: writer.tensors,
      fileByteCount: writer.byteCount,
      resumedByteCount: run.resumedBytes,
      seconds: Double(seconds.components.seconds) + Double(seconds.components.attoseconds) * 1e-18
    )
  }
  /// Everything that the bytes of the file depend on, in 32 bytes.
  private static func identity(
    _ source: ConversionSource,
    _ plan: ConversionPlan,
    _ options: ConversionOptions,
    _ adapter: LowRankAdapter?
  ) -> [UInt8] {
    var parts: [[UInt8]] = [
      Array(toolVersion.utf8), Array(plan.recipe.json.utf8), Array(options.codec.name.utf8),
      Array("embedding \(options.codec(of: .embedding).name)".utf8),
      Array("level \(options.codec == .zstd ? options.level : 0)".utf8),
    ]
    for file in source.folder.shards.map(\.file) + (adapter.map { [$0.file] } ?? []) {
      let name = file.path.split(separator: "/").last.map(String.init) ?? file.path
      parts.append(Array("\(name) \(file.fingerprint)".utf8))
    }
    if let adapter { parts.append(adapter.configuration) }
    if let calibration = options.calibration { parts.append(calibration.digest) }
    for companion in source.companions {
      parts.append(Array(companion.name.utf8))
      parts.append(companion.bytes)
    }
    return FileDigest.sha256(of: parts.flatMap { FileDigest.sha256(of: $0) })
  }
}
