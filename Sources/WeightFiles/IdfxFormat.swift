// The constants and byte arithmetic of the `.idfx` format, version 1: header, footer, and how a run
// of bytes is cut into blocks. The whole specification is in WeightFiles.docc/Format.md; the names of
// the invariants (F1 …) are used there, here and in the tests.

import Tensors

/// How the bytes of a block are coded.
public enum BlockCodec: UInt8, Sendable, CaseIterable {
  /// As they are: page-aligned, used in place from the mapped file.
  case raw = 0
  /// One zstd frame a block.
  case zstd = 1

  /// Name on the command line.
  public var name: String {
    switch self {
    case .raw: "raw"
    case .zstd: "zstd"
    }
  }
}

/// Constants of the format.
public enum IdfxFormat {
  /// The version that this code reads and writes.
  public static let version: UInt32 = 1
  /// Most bytes of a block before coding.
  public static let maximumBlockBytes = 4 << 20
  /// Alignment of a raw extent: a page.
  public static let rawAlignment = 4096
  /// Alignment of every other extent and of the directory.
  public static let alignment = 64
  /// Largest directory: 80B needs about 1 MB.
  public static let maximumDirectoryBytes = 8 << 20
  /// Most sources: 80B has 19 shards.
  public static let maximumSources = 1024
  /// Most embedded files.
  public static let maximumFiles = 64
  /// Most tensors, each of which takes far more memory than directory: 80B has 1,603.
  public static let maximumTensors = 1 << 14
  /// Most dimensions of a tensor.
  public static let maximumRank = 8

  static let headerBytes = 64
  static let footerBytes = 64
  static let magic: [UInt8] = [0x89, 0x49, 0x44, 0x46, 0x58, 0x0d, 0x0a, 0x1a]  // \x89 IDFX \r\n ^Z
  static let endMagic: [UInt8] = [0x49, 0x44, 0x46, 0x58, 0x45, 0x4e, 0x44, 0x0a]  // IDFXEND\n

  /// The 64 bytes at the start of every file of this version.
  static let header: [UInt8] = {
    var writer = ByteWriter()
    writer.append(magic)
    writer.append(integer: version)
    writer.append([UInt8](repeating: 0, count: headerBytes - writer.bytes.count))
    return writer.bytes
  }()

  /// `offset` rounded up to a multiple of `alignment`, or `nil` on overflow.
  static func aligned(_ offset: Int, to alignment: Int) -> Int? {
    let (sum, overflow) = offset.addingReportingOverflow(alignment - 1)
    return overflow ? nil : sum / alignment * alignment
  }

  /// Raw bytes of every block but the last of a run of units of `unitBytes`, which are never cut;
  /// `nil` when a unit does not fit a block.
  public static func blockByteCount(unitBytes: Int) -> Int? {
    guard unitBytes > 0, unitBytes <= maximumBlockBytes else { return nil }
    return maximumBlockBytes / unitBytes * unitBytes
  }
}

/// The fixed last 64 bytes of a file.
struct IdfxFooter: Hashable {
  var directoryOffset: UInt64
  var directoryBytes: UInt64
  var directoryChecksum: UInt64
  var fileBytes: UInt64

  var encoded: [UInt8] {
    var writer = ByteWriter()
    writer.append(integer: directoryOffset)
    writer.append(integer: directoryBytes)
    writer.append(integer: directoryChecksum)
    writer.append(integer: fileBytes)
    writer.append(integer: IdfxFormat.version)
    writer.append([UInt8](repeating: 0, count: 12))
    writer.append(integer: XXHash64.hash(writer.bytes))
    writer.append(IdfxFormat.endMagic)
    return writer.bytes
  }

  /// Reads and checks a footer on its own terms: magic, checksum, zeros.
  init(_ bytes: [UInt8]) throws(ByteReader.Failure) {
    var reader = ByteReader(bytes)
    directoryOffset = try reader.integer()
    directoryBytes = try reader.integer()
    directoryChecksum = try reader.integer()
    fileBytes = try reader.integer()
    guard try reader.integer(UInt32.self) == IdfxFormat.version,
      try reader.take(12).allSatisfy({ $0 == 0 }),
      try reader.integer(UInt64.self) == XXHash64.hash(Array(bytes.prefix(48))),
      try reader.take(8).elementsEqual(IdfxFormat.endMagic)
    else { throw ByteReader.Failure(reason: "has no valid footer: it is incomplete or damaged") }
  }

  init(directoryOffset: Int, directory: [UInt8]) {
    self.directoryOffset = UInt64(directoryOffset)
    directoryBytes = UInt64(directory.count)
    directoryChecksum = XXHash64.hash(directory)
    fileBytes = UInt64(directoryOffset + directory.count + IdfxFormat.footerBytes)
  }
}

/// One coded block.
public struct IdfxBlock: Sendable, Hashable {
  /// Absolute offset; derived from the sizes before it, never stored.
  public var offset: Int
  /// Bytes in the file.
  public let storedBytes: Int
  /// XXH64 of the bytes in the file.
  public let checksum: UInt64
}

/// A run of bytes in the file: one plane of a tensor, or one embedded file.
public struct IdfxExtent: Sendable, Hashable {
  /// Bytes before coding.
  public let byteCount: Int
  /// Bytes before coding of every block but the last.
  public let blockByteCount: Int
  /// Coding of all its blocks.
  public let codec: BlockCodec
  /// The blocks, in order.
  public internal(set) var blocks: [IdfxBlock]

  /// Number of blocks of a run of `byteCount` bytes.
  static func blockCount(_ byteCount: Int, _ blockByteCount: Int) -> Int {
    byteCount / blockByteCount + (byteCount % blockByteCount == 0 ? 0 : 1)
  }

  /// Raw bytes of block `index`.
  public func rawByteCount(ofBlock index: Int) -> Int {
    min(blockByteCount, byteCount - index * blockByteCount)
  }

  /// Bytes in the file, without alignment.
  public var storedByteCount: Int { blocks.reduce(0) { $0 + $1.storedBytes } }

  /// Offset alignment of its first block.
  var alignment: Int { codec == .raw ? IdfxFormat.rawAlignment : IdfxFormat.alignment }

  /// Gives every block its offset, starting the search for space at `cursor`.
  /// - Returns: the end of the extent, or `nil` on overflow.
  mutating func place(after cursor: Int) -> Int? {
    guard var offset = IdfxFormat.aligned(cursor, to: alignment) else { return nil }
    for index in blocks.indices {
      blocks[index].offset = offset
      let (end, overflow) = offset.addingReportingOverflow(blocks[index].storedBytes)
      guard !overflow else { return nil }
      offset = end
    }
    return offset
  }
}
