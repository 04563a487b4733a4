// Where the planes of some tensors lie in memory, one after the other, and the blocks that fill them.
// Arithmetic on the directory; touches no memory.

import Tensors

/// The layout of some tensors of a file in one run of memory.
public struct TensorPlacement: Sendable {
  /// Bytes of memory.
  public let byteCount: Int
  /// Bytes of the file that fill it.
  public let storedByteCount: Int

  /// A block of the file and where it goes.
  struct Block: Sendable {
    let tensor: Int
    let extent: IdfxExtent
    let index: Int
    /// Offset in memory.
    let offset: Int

    /// Place in the file.
    var stored: IdfxBlock { extent.blocks[index] }
  }

  private struct Place: Sendable {
    let tensor: IdfxTensor
    let offsets: [Int]
  }

  let names: [String]
  /// All blocks, in file order.
  let blocks: [Block]
  private let places: [String: Place]

  /// Places `tensors` one after the other, every plane on a cache line.
  public init(_ tensors: [IdfxTensor]) {
    var places: [String: Place] = [:]
    var blocks: [Block] = []
    var end = 0
    for (number, tensor) in tensors.enumerated() {
      var offsets: [Int] = []
      for extent in tensor.extents {
        offsets.append(end)
        for index in extent.blocks.indices {
          let offset = end + index * extent.blockByteCount
          blocks.append(Block(tensor: number, extent: extent, index: index, offset: offset))
        }
        end += Self.aligned(extent.byteCount)
      }
      places[tensor.name] = Place(tensor: tensor, offsets: offsets)
    }
    byteCount = end
    storedByteCount = tensors.reduce(0) { $0 + $1.storedByteCount }
    names = tensors.map(\.name)
    self.places = places
    self.blocks = blocks.sorted { $0.stored.offset < $1.stored.offset }
  }

  /// Bytes of memory that planes of `byteCount` bytes take.
  public static func aligned(_ byteCount: Int) -> Int { (byteCount + 63) / 64 * 64 }

  /// The packed matrix called `name` in `region`, whose first byte is that of this placement; `nil` when
  /// there is none.
  func packed(_ name: String, in region: ByteRegion) -> PackedMatrix? {
    guard let place = places[name], case .packed(let layout, let codebook) = place.tensor.storage
    else { return nil }
    let planes = slices(place, in: region)
    guard planes.count == place.offsets.count, let codes = planes.first else { return nil }
    return PackedMatrix(
      layout: layout,
      codebook: codebook,
      codes: codes,
      scales: planes.count > 1 ? planes[1] : nil,
      rowScales: planes.count > 2 ? planes[2] : nil
    )
  }

  /// The dense tensor called `name` in `region`; `nil` when there is none.
  func dense(_ name: String, in region: ByteRegion) -> DenseTensor? {
    guard let place = places[name], case .dense = place.tensor.storage,
      let bytes = slices(place, in: region).first
    else { return nil }
    return DenseTensor(shape: place.tensor.shape, bytes: bytes)
  }

  private func slices(_ place: Place, in region: ByteRegion) -> [ByteSlice] {
    zip(place.tensor.extents, place.offsets).compactMap { extent, offset in
      ByteSlice(region, offset: offset, count: extent.byteCount)
    }
  }
}
