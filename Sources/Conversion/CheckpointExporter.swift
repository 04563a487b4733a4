// Writes an `.idfx` file back as a Hugging Face checkpoint folder of float32 tensors: exactly the values
// that the kernels compute with, so that any other program can check them. Works in `DIR.partial` and
// renames at the end. Refuses a folder that exists.

import Foundation
import IdeficsModel
import Tensors
import WeightFiles

/// Exports checkpoints.
public enum CheckpointExporter {
  /// Most bytes of tensors in one shard.
  static let shardBytes = 4 << 30

  /// Writes `file` as a checkpoint folder at `path`; returns the bytes written.
  @discardableResult
  public static func export(
    _ file: IdfxFile,
    to path: String,
    cancellation: CancellationFlag = CancellationFlag(),
    progress: (_ done: Int, _ total: Int) -> Void = { _, _ in }
  ) throws(ConversionError) -> Int {
    let files = FileManager.default
    guard !files.fileExists(atPath: path) else { throw .exists(path: path) }
    let partial = path + ".partial"
    try? files.removeItem(atPath: partial)
    do {
      try files.createDirectory(atPath: partial, withIntermediateDirectories: true)
      let total = file.tensors.reduce(0) { $0 + $1.shape.count * 4 }
      try writeTensors(file, to: partial, cancellation) { progress($0, total) }
      try writeCompanions(file, to: partial)
      try files.moveItem(atPath: partial, toPath: path)
      return total
    } catch let error as ConversionError {
      try? files.removeItem(atPath: partial)
      throw error
    } catch let error as WeightFileError {
      try? files.removeItem(atPath: partial)
      throw .weights(error)
    } catch {
      try? files.removeItem(atPath: partial)
      let code = ((error as NSError).userInfo[NSUnderlyingErrorKey] as? NSError)?.code
      throw .weights(.cannotWrite(path: path, code: Int32(clamping: code ?? Int(EIO))))
    }
  }

  private static func writeTensors(
    _ file: IdfxFile,
    to folder: String,
    _ cancellation: CancellationFlag,
    _ progress: (Int) -> Void
  ) throws {
    var shards: [[IdfxTensor]] = [[]]
    var size = 0
    for tensor in file.tensors {
      let bytes = tensor.shape.count * 4
      if size + bytes > shardBytes, shards.last?.isEmpty == false {
        shards.append([])
        size = 0
      }
      shards[shards.count - 1].append(tensor)
      size += bytes
    }
    var map: [String: String] = [:]
    var done = 0
    for (index, tensors) in shards.enumerated() {
      let name =
        shards.count == 1
        ? "model.safetensors"
        : "model-\(padded(index + 1))-of-\(padded(shards.count)).safetensors"
      let writer = try SafetensorsWriter(
        path: folder + "/" + name,
        tensors: tensors.map { ($0.name, $0.shape) }
      )
      for tensor in tensors {
        map[tensor.name] = name
        switch tensor.storage {
        case .dense: try writer.append(file.dense(tensor.name).values)
        case .packed:
          let matrix = try file.packed(tensor.name)
          for tile in 0..<matrix.layout.tiles {
            try writer.append(PackedRows.decode(matrix, tile: tile))
            guard !cancellation.isRaised else { throw ConversionError.cancelled }
          }
        }
        done += tensor.shape.count * 4
        progress(done)
      }
      try writer.finish()
    }
    guard shards.count > 1 else { return }
    let index: [String: Any] = ["metadata": ["total_size": done], "weight_map": map]
    let text = try JSONSerialization.data(
      withJSONObject: index,
      options: [.prettyPrinted, .sortedKeys]
    )
    try text.write(to: URL(fileURLWithPath: folder + "/model.safetensors.index.json"))
  }

  /// Copies the embedded files; config.json says float32, because that is what the tensors now are.
  private static func writeCompanions(_ file: IdfxFile, to folder: String) throws {
    for name in file.metadata.files {
      var data = Data(try file.embeddedFile(name) ?? [])
      if name == "config.json",
        var settings = try JSONSerialization.jsonObject(with: data) as? [String: Any]
      {
        for key in ["torch_dtype", "dtype"] where settings[key] != nil { settings[key] = "float32" }
        data = try JSONSerialization.data(
          withJSONObject: settings,
          options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        )
      }
      try data.write(to: URL(fileURLWithPath: folder + "/" + name))
    }
  }

  private static func padded(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, 5 - digits.count)) + digits
  }
}
