// Builds `.idfx` files byte by byte, from the written format and not from the writer, so that the tests
// can lie in every field and still have all checksums right.

import WeightFiles

/// Little-endian bytes in the making.
private struct Bytes {
  var all: [UInt8] = []

  mutating func u8(_ value: Int) { all.append(UInt8(truncatingIfNeeded: value)) }
  mutating func u16(_ value: Int) { integer(UInt64(value), 2) }
  mutating func u32(_ value: Int) { integer(UInt64(value), 4) }
  mutating func u64(_ value: UInt64) { integer(value, 8) }
  mutating func text(_ text: String) {
    u16(text.utf8.count)
    all += Array(text.utf8)
  }
  mutating func integer(_ value: UInt64, _ width: Int) {
    for index in 0..<width { all.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * index))) }
  }
}

/// A hand-made file with one tensor and one embedded file, each part of which can be replaced.
public struct HandMadeIdfx: Sendable {
  /// Version in header and footer.
  public var version = 1
  /// Name of the embedded file.
  public var fileName = "config.json"
  /// Its block as stored.
  public var fileBlock: [UInt8] = Array("{}".utf8)
  /// Its size before coding.
  public var fileSize: UInt64 = 2
  /// Its codec.
  public var fileCodec = 0
  /// Embedded files that the directory claims.
  public var fileCount = 1
  /// Name of the tensor.
  public var tensorName: [UInt8] = Array("a".utf8)
  /// Dimensions that the directory claims.
  public var rank = 1
  /// Extents.
  public var dimensions: [UInt64] = [2]
  /// Encoding of the tensor.
  public var encoding = 0
  /// Codebook, where the encoding has one.
  public var codebook: [Int8] = []
  /// Codec of the tensor.
  public var codec = 0
  /// Sums of squares.
  public var energies: [Double] = [1, 0]
  /// Blocks of the tensor as stored.
  public var blocks: [[UInt8]] = [[0, 0, 0x80, 0x3f, 0, 0, 0, 0x40]]
  /// Sizes that the directory gives; those of the blocks when `nil`.
  public var storedSizes: [Int]?
  /// Tensors that the directory claims.
  public var tensorCount = 1
  /// How often the tensor stands in the directory.
  public var repeats = 1
  /// Tensors of different names, in place of one.
  public var distinctTensors: Int?
  /// How often the directory names each block.
  public var blockRepeats = 1
  /// Sources that the directory claims.
  public var sourceCount = 0
  /// Bytes after the directory.
  public var extra: [UInt8] = []
  /// What the footer adds to the offset of the directory.
  public var directoryShift = 0
  /// Zeros between blocks and directory.
  public var blocksShift = 0

  /// A file with nothing wrong in it.
  public init() {}

  /// The whole file.
  public var bytes: [UInt8] {
    var file = Bytes()
    file.all = [0x89, 0x49, 0x44, 0x46, 0x58, 0x0d, 0x0a, 0x1a]
    file.u32(version)
    pad(&file, 64)
    var places: [(Int, [UInt8])] = []
    for (block, codec) in [(fileBlock, fileCodec)] + (blocks.first.map { [($0, codec)] } ?? []) {
      pad(&file, codec == 0 ? 4096 : 64)
      places.append((file.all.count, block))
      file.all += block
    }
    for block in blocks.dropFirst() { file.all += block }
    file.all += [UInt8](repeating: 0, count: blocksShift)
    pad(&file, 64)

    var directory = Bytes()
    directory.text("hand")
    directory.text("{}")
    directory.u32(sourceCount)
    directory.u32(fileCount)
    directory.text(fileName)
    directory.u64(fileSize)
    directory.u8(fileCodec)
    directory.u32(fileBlock.count)
    directory.u64(XXHash64.hash(fileBlock))
    directory.u32(tensorCount)
    for index in 0..<(distinctTensors ?? repeats) {
      let name = tensorName + (distinctTensors == nil ? [] : Array("\(index)".utf8))
      directory.u16(name.count)
      directory.all += name
      directory.u8(rank)
      for dimension in dimensions { directory.u64(dimension) }
      directory.u8(encoding)
      directory.all += codebook.map { UInt8(bitPattern: $0) }
      directory.u8(codec)
      for energy in energies { directory.u64(energy.bitPattern) }
      for _ in 0..<blockRepeats {
        for (index, block) in blocks.enumerated() {
          directory.u32(storedSizes?[index] ?? block.count)
          directory.u64(XXHash64.hash(block))
        }
      }
    }
    directory.all += extra

    let offset = file.all.count + directoryShift
    file.all += directory.all
    var footer = Bytes()
    footer.u64(UInt64(bitPattern: Int64(offset)))
    footer.u64(UInt64(directory.all.count))
    footer.u64(XXHash64.hash(directory.all))
    footer.u64(UInt64(file.all.count + 64))
    footer.u32(version)
    footer.all += [UInt8](repeating: 0, count: 12)
    footer.u64(XXHash64.hash(footer.all))
    footer.all += Array("IDFXEND\n".utf8)
    return file.all + footer.all
  }

  private func pad(_ file: inout Bytes, _ alignment: Int) {
    while file.all.count % alignment != 0 { file.u8(0) }
  }
}
