// The directory of an `.idfx` file: what is in it and where. Encoding and strict decoding; decoding
// checks every rule that needs no other bytes of the file (F5–F12 of Format.md) and allocates nothing
// that the directory's own length does not pay for.

import Tensors

/// A file of the checkpoint, by content.
public struct IdfxSource: Sendable, Hashable {
  /// Name within the checkpoint folder.
  public let name: String
  /// Bytes.
  public let byteCount: Int
  /// SHA-256, 32 bytes.
  public let sha256: [UInt8]

  /// Provenance of one file.
  public init(name: String, byteCount: Int, sha256: [UInt8]) {
    precondition(sha256.count == 32, "a SHA-256 has 32 bytes")
    self.name = name
    self.byteCount = byteCount
    self.sha256 = sha256
  }
}

/// A file kept whole inside the `.idfx` file.
public struct IdfxEmbeddedFile: Sendable, Hashable {
  /// Name, without folders.
  public let name: String
  /// Its bytes.
  public internal(set) var extent: IdfxExtent
}

/// How a tensor is stored.
public enum IdfxStorage: Sendable, Hashable {
  /// Row-major float32.
  case dense
  /// Packed tiles; the codebook counts for 4-bit encodings only.
  case packed(PackedLayout, Codebook)
}

/// A tensor of the file.
public struct IdfxTensor: Sendable, Hashable {
  /// Hugging Face name.
  public let name: String
  /// Extents as in the checkpoint; a packed tensor has its first as rows, the others as columns.
  public let shape: Shape
  /// Storage.
  public let storage: IdfxStorage
  /// Sum of the squares of the source's elements.
  public let signalEnergy: Double
  /// Sum of the squares of what coding changed.
  public let errorEnergy: Double
  /// One run of bytes for every plane.
  public internal(set) var extents: [IdfxExtent]

  /// Bytes in memory.
  public var byteCount: Int { extents.reduce(0) { $0 + $1.byteCount } }
  /// Bytes in the file, without alignment.
  public var storedByteCount: Int { extents.reduce(0) { $0 + $1.storedByteCount } }
  /// Squared error relative to the squared norm; 0 for a zero tensor.
  public var relativeSquaredError: Double { signalEnergy > 0 ? errorEnergy / signalEnergy : 0 }
  /// Coding of the elements.
  public var encoding: WeightEncoding {
    switch storage {
    case .dense: .f32
    case .packed(let layout, _): layout.encoding
    }
  }

  /// Bytes and unit of every plane that `storage` has for `shape`; `nil` when a count overflows or a
  /// unit is larger than a block.
  static func planes(_ storage: IdfxStorage, shape: Shape) -> [(bytes: Int, block: Int)]? {
    var planes: [(bytes: Int, block: Int)] = []
    switch storage {
    case .dense:
      guard shape.count <= 1 << 40, let block = IdfxFormat.blockByteCount(unitBytes: 4) else {
        return nil
      }
      planes.append((shape.count * 4, block))
    case .packed(let layout, _):
      for plane in layout.planes {
        guard let block = IdfxFormat.blockByteCount(unitBytes: layout.tileBytes(plane)) else {
          return nil
        }
        planes.append((layout.byteCount(plane), block))
      }
    }
    return planes
  }
}

/// Everything that an `.idfx` file says about itself.
public struct IdfxDirectory: Sendable, Hashable {
  /// The program and version that wrote the file.
  public var toolVersion: String
  /// The recipe, as JSON text.
  public var recipe: String
  /// The files it was made from.
  public var sources: [IdfxSource] = []
  /// Files kept whole.
  public var files: [IdfxEmbeddedFile] = []
  /// Tensors, in file order.
  public var tensors: [IdfxTensor] = []

  /// An empty directory.
  public init(toolVersion: String, recipe: String) {
    self.toolVersion = toolVersion
    self.recipe = recipe
  }

  /// The directory as it stands in the file.
  var encoded: [UInt8] {
    var writer = ByteWriter()
    writer.append(toolVersion)
    writer.append(recipe)
    writer.append(integer: UInt32(sources.count))
    for source in sources {
      writer.append(source.name)
      writer.append(integer: UInt64(source.byteCount))
      writer.append(source.sha256)
    }
    writer.append(integer: UInt32(files.count))
    for file in files { Self.encode(file, into: &writer) }
    writer.append(integer: UInt32(tensors.count))
    for tensor in tensors { Self.encode(tensor, into: &writer) }
    return writer.bytes
  }

  static func encode(_ file: IdfxEmbeddedFile, into writer: inout ByteWriter) {
    writer.append(file.name)
    writer.append(integer: UInt64(file.extent.byteCount))
    writer.append(integer: file.extent.codec.rawValue)
    encode(file.extent.blocks, into: &writer)
  }

  static func encode(_ tensor: IdfxTensor, into writer: inout ByteWriter) {
    writer.append(tensor.name)
    writer.append(integer: UInt8(tensor.shape.dimensions.count))
    for dimension in tensor.shape.dimensions { writer.append(integer: UInt64(dimension)) }
    switch tensor.storage {
    case .dense:
      writer.append(integer: UInt8(0))
    case .packed(let layout, let codebook):
      writer.append(integer: layout.encoding.rawValue)
      if layout.encoding.hasCodebook {
        writer.append(codebook.values.map { UInt8(bitPattern: $0) })
      }
    }
    writer.append(integer: (tensor.extents.first?.codec ?? .raw).rawValue)
    writer.append(tensor.signalEnergy)
    writer.append(tensor.errorEnergy)
    for extent in tensor.extents { encode(extent.blocks, into: &writer) }
  }

  private static func encode(_ blocks: [IdfxBlock], into writer: inout ByteWriter) {
    for block in blocks {
      writer.append(integer: UInt32(block.storedBytes))
      writer.append(integer: block.checksum)
    }
  }

  /// Decodes a directory and places every block after the header.
  /// - Returns: the directory, and the offset where its blocks end.
  static func decode(
    _ bytes: [UInt8]
  ) throws(ByteReader.Failure) -> (directory: IdfxDirectory, end: Int) {
    var reader = ByteReader(bytes)
    var directory = IdfxDirectory(toolVersion: try reader.string(), recipe: try reader.string())
    let sourceCount = try reader.itemCount(
      itemBytes: 42,
      upTo: IdfxFormat.maximumSources,
      "the number of sources"
    )
    for _ in 0..<sourceCount {
      directory.sources.append(
        IdfxSource(
          name: try reader.string(),
          byteCount: try reader.count(upTo: .max, "the size of a source"),
          sha256: Array(try reader.take(32))
        )
      )
    }
    var cursor = IdfxFormat.headerBytes
    var names: Set<String> = []
    let fileCount = try reader.itemCount(
      itemBytes: 11,
      upTo: IdfxFormat.maximumFiles,
      "the number of embedded files"
    )
    for _ in 0..<fileCount {
      let file = try decodeFile(&reader, cursor: &cursor)
      guard names.insert(file.name).inserted else {
        throw ByteReader.Failure(reason: "embeds two files of one name")
      }
      directory.files.append(file)
    }
    names.removeAll()
    let tensorCount = try reader.itemCount(
      itemBytes: 21,
      upTo: IdfxFormat.maximumTensors,
      "the number of tensors"
    )
    for _ in 0..<tensorCount {
      let tensor = try decodeTensor(&reader, cursor: &cursor)
      guard names.insert(tensor.name).inserted else {
        throw ByteReader.Failure(
          reason: "holds two tensors called \(WeightFileError.quoted(tensor.name))"
        )
      }
      directory.tensors.append(tensor)
    }
    guard reader.remaining == 0 else {
      throw ByteReader.Failure(reason: "has a directory with bytes after its last tensor")
    }
    return (directory, cursor)
  }

  static func decodeFile(
    _ reader: inout ByteReader,
    cursor: inout Int
  ) throws(ByteReader.Failure) -> IdfxEmbeddedFile {
    let name = try reader.string()
    guard CheckpointFolder.isPlainName(name) else {
      throw ByteReader.Failure(
        reason: "embeds a file with the unsafe name \(WeightFileError.quoted(name))"
      )
    }
    let limit = CheckpointFolder.limit(ofCompanion: name)
    let count = try reader.count(upTo: limit, "the size of \(WeightFileError.quoted(name))")
    let codec = try decodeCodec(&reader)
    let extent = try decodeExtent(
      &reader,
      byteCount: count,
      blockByteCount: IdfxFormat.maximumBlockBytes,
      codec: codec,
      cursor: &cursor
    )
    return IdfxEmbeddedFile(name: name, extent: extent)
  }

  static func decodeTensor(
    _ reader: inout ByteReader,
    cursor: inout Int
  ) throws(ByteReader.Failure) -> IdfxTensor {
    let name = try reader.string()
    func bad(_ reason: String) -> ByteReader.Failure {
      ByteReader.Failure(reason: "has a tensor \(WeightFileError.quoted(name)) \(reason)")
    }
    let rank = Int(try reader.integer(UInt8.self))
    guard rank <= IdfxFormat.maximumRank else { throw bad("with \(rank) dimensions") }
    var dimensions: [Int] = []
    for _ in 0..<rank { dimensions.append(try reader.count(upTo: 1 << 40, "a dimension")) }
    guard !dimensions.contains(0) else { throw bad("with a zero dimension") }
    guard let shape = Shape(dimensions) else { throw bad("whose dimensions overflow") }

    let storage = try decodeStorage(&reader, shape: shape, bad)
    let codec = try decodeCodec(&reader)
    let signal = try reader.double()
    let error = try reader.double()
    guard signal.isFinite, signal >= 0, error.isFinite, error >= 0 else {
      throw bad("whose error is not a number")
    }
    guard let planes = IdfxTensor.planes(storage, shape: shape) else {
      throw bad("too large for the format")
    }
    var extents: [IdfxExtent] = []
    for plane in planes {
      let extent = try decodeExtent(
        &reader,
        byteCount: plane.bytes,
        blockByteCount: plane.block,
        codec: codec,
        cursor: &cursor
      )
      extents.append(extent)
    }
    return IdfxTensor(
      name: name,
      shape: shape,
      storage: storage,
      signalEnergy: signal,
      errorEnergy: error,
      extents: extents
    )
  }

  private static func decodeStorage(
    _ reader: inout ByteReader,
    shape: Shape,
    _ bad: (String) -> ByteReader.Failure
  ) throws(ByteReader.Failure) -> IdfxStorage {
    let code: UInt8 = try reader.integer()
    guard code != 0 else { return .dense }
    guard let encoding = WeightEncoding(rawValue: code) else {
      throw bad("in the unknown encoding \(code)")
    }
    guard let rows = shape.dimensions.first, shape.dimensions.count >= 2,
      let layout = PackedLayout(rows: rows, columns: shape.count / rows, encoding: encoding)
    else { throw bad("that is no matrix of a possible size") }
    guard encoding.hasCodebook else { return .packed(layout, .uniform) }
    guard let codebook = Codebook(try reader.take(16).map { Int8(bitPattern: $0) }) else {
      throw bad("with an invalid codebook")
    }
    return .packed(layout, codebook)
  }

  private static func decodeCodec(
    _ reader: inout ByteReader
  ) throws(ByteReader.Failure)
    -> BlockCodec
  {
    let code: UInt8 = try reader.integer()
    guard let codec = BlockCodec(rawValue: code) else {
      throw ByteReader.Failure(reason: "uses the unknown block codec \(code)")
    }
    return codec
  }

  private static func decodeExtent(
    _ reader: inout ByteReader,
    byteCount: Int,
    blockByteCount: Int,
    codec: BlockCodec,
    cursor: inout Int
  ) throws(ByteReader.Failure) -> IdfxExtent {
    let count = IdfxExtent.blockCount(byteCount, blockByteCount)
    guard count <= reader.remaining / 12 else {
      throw ByteReader.Failure(reason: "has a directory that ends before its last block")
    }
    var extent = IdfxExtent(
      byteCount: byteCount,
      blockByteCount: blockByteCount,
      codec: codec,
      blocks: []
    )
    extent.blocks.reserveCapacity(count)
    for index in 0..<count {
      let stored = Int(try reader.integer(UInt32.self))
      let raw = extent.rawByteCount(ofBlock: index)
      let fits = codec == .raw ? stored == raw : stored > 0 && stored <= ZstdCodec.bound(raw)
      guard fits else {
        throw ByteReader.Failure(reason: "has a block whose size \(stored) cannot be right")
      }
      extent.blocks.append(
        IdfxBlock(offset: 0, storedBytes: stored, checksum: try reader.integer())
      )
    }
    guard let end = extent.place(after: cursor) else {
      throw ByteReader.Failure(reason: "has blocks whose sizes overflow")
    }
    cursor = end
    return extent
  }
}
