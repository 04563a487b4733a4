// A checkpoint as a weight source for the model itself: every tensor in the precision that it has, packed
// for the kernels when it is asked for, an adapter's update included. Keeps nothing.

import IdeficsModel
import Tensors
import WeightFiles

/// The tensors of a checkpoint, exact.
struct CheckpointTensors: WeightSource {
  /// Reads and packs.
  let maker: BlockMaker

  func packed(_ name: String) throws(WeightFileError) -> PackedMatrix {
    let tensor = try self.tensor(name)
    // bfloat16 stays as it is: half the memory, the same values.
    let isNarrow = tensor.dtype == .bfloat16 && maker.updates[name] == nil
    guard let rows = tensor.shape.dimensions.first, rows > 0,
      let layout = PackedLayout(
        rows: rows,
        columns: tensor.shape.count / rows,
        encoding: isNarrow ? .bf16 : .f32
      )
    else { throw bad(name, "is no matrix") }
    let step = ConversionStep(source: tensor, role: .small, layout: layout)
    let planes = try maker.packed(
      step,
      layout,
      tiles: 0..<layout.tiles,
      table: CodebookTable(.uniform)
    ).planes
    let codes = ByteSlice(planes.codes.withUnsafeBytes { ByteRegion(copying: $0) })
    guard let matrix = PackedMatrix(layout: layout, codes: codes) else {
      throw bad(name, "cannot be packed")
    }
    return matrix
  }

  func dense(_ name: String) throws(WeightFileError) -> DenseTensor {
    let tensor = try self.tensor(name)
    let step = ConversionStep(source: tensor, role: .small, layout: nil)
    let bytes = try maker.dense(step, elements: 0..<tensor.shape.count).bytes
    let region = bytes.withUnsafeBytes { ByteRegion(copying: $0) }
    guard let dense = DenseTensor(shape: tensor.shape, bytes: ByteSlice(region)) else {
      throw bad(name, "cannot be read")
    }
    return dense
  }

  func contains(_ name: String) -> Bool { maker.folder.tensor(named: name) != nil }

  func shape(of name: String) -> Shape? { maker.folder.tensor(named: name)?.shape }

  private func tensor(_ name: String) throws(WeightFileError) -> CheckpointTensor {
    guard let tensor = maker.folder.tensor(named: name) else {
      throw .noSuchTensor(path: maker.folder.path, tensor: name)
    }
    return tensor
  }

  private func bad(_ name: String, _ reason: String) -> WeightFileError {
    .badTensor(path: maker.folder.path, tensor: name, reason: reason)
  }
}
