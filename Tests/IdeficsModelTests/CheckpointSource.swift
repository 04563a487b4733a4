// A Hugging Face checkpoint as a weight source, packed in memory by the reference quantiser: lets the
// model be tested without the converter, and the converter against the model.

import IdeficsModel
import Tensors
import WeightFiles

/// Packs every parameter of a checkpoint on demand.
final class CheckpointSource: WeightSource {
  private let folder: CheckpointFolder
  private let roles: [String: WeightRole]
  private let encoding: @Sendable (WeightRole) -> WeightEncoding

  init(
    path: String,
    configuration: Configuration,
    encoding: @escaping @Sendable (WeightRole) -> WeightEncoding
  ) throws {
    folder = try CheckpointFolder(path: path)
    roles = Dictionary(
      uniqueKeysWithValues: WeightNames.inventory(of: configuration).map { ($0.name, $0.role) }
    )
    self.encoding = encoding
  }

  func packed(_ name: String) throws(WeightFileError) -> PackedMatrix {
    let (tensor, values) = try read(name)
    let rows = tensor.shape.dimensions[0]
    guard let role = roles[name],
      let matrix = ReferenceQuantizer.pack(
        values,
        rows: rows,
        columns: values.count / rows,
        encoding: encoding(role)
      )
    else { throw .noSuchTensor(path: folder.path, tensor: name) }
    return matrix
  }

  func dense(_ name: String) throws(WeightFileError) -> DenseTensor {
    let (tensor, values) = try read(name)
    guard let dense = DenseTensor(shape: tensor.shape, values: values) else {
      throw .noSuchTensor(path: folder.path, tensor: name)
    }
    return dense
  }

  func contains(_ name: String) -> Bool { folder.tensor(named: name) != nil }

  func shape(of name: String) -> Shape? { folder.tensor(named: name)?.shape }

  private func read(_ name: String) throws(WeightFileError) -> (CheckpointTensor, [Float]) {
    guard let tensor = folder.tensor(named: name) else {
      throw .noSuchTensor(path: folder.path, tensor: name)
    }
    let bytes = try folder.file(of: tensor).bytes(at: tensor.offset, count: tensor.byteCount)
    var values = [Float](repeating: 0, count: tensor.shape.count)
    values.withUnsafeMutableBufferPointer { output in
      bytes.withUnsafeBytes { FloatDecoding.decode($0, as: tensor.dtype, into: output) }
    }
    return (tensor, values)
  }
}
