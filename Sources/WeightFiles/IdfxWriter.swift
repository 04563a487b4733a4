// Writes an `.idfx` file to `NAME.partial`, with `NAME.journal` beside it, and renames it when whole.
// A finished item (embedded file or tensor) is one journal record, written after its blocks. A writer
// that finds both files takes over every item whose record and blocks still match their checksums,
// cuts off the rest and goes on: killed at any moment, the final bytes are the same.
// Refuses to resume work that was begun with another `identity` (it starts anew) and to share a file
// with another process.

import Tensors

/// A block, coded and ready to be written.
public struct IdfxEncodedBlock: Sendable {
  /// Bytes for the file.
  public let bytes: [UInt8]
  let checksum: UInt64
}

/// Codes blocks; one per thread.
public final class IdfxBlockEncoder {
  private let codec: BlockCodec
  private let zstd: ZstdCodec?

  /// An encoder; `level` is zstd's.
  public init(codec: BlockCodec, level: Int) {
    self.codec = codec
    zstd = codec == .zstd ? ZstdCodec(level: level) : nil
  }

  /// Codes one block of at most 4 MiB.
  public func encode(_ bytes: [UInt8]) -> IdfxEncodedBlock {
    bytes.withUnsafeBytes { encode($0) }
  }

  /// Codes one block of at most 4 MiB.
  public func encode(_ bytes: UnsafeRawBufferPointer) -> IdfxEncodedBlock {
    precondition(bytes.count <= IdfxFormat.maximumBlockBytes, "block too large")
    let coded: [UInt8]
    if let zstd {
      do throws(ZstdCodec.Failure) {
        coded = try zstd.compress(bytes)
      } catch {
        // Compression into a buffer of the bound fails only when memory is exhausted.
        preconditionFailure("zstd cannot compress: \(error.reason)")
      }
    } else {
      coded = Array(bytes)
    }
    return IdfxEncodedBlock(bytes: coded, checksum: XXHash64.hash(coded))
  }
}

/// Appends items to a file in the making.
///
/// Confined to one thread at a time.
public final class IdfxWriter {
  /// Final path.
  public let path: String
  /// Coding of embedded files.
  public let codec: BlockCodec
  /// Embedded files that are complete.
  public private(set) var files: [IdfxEmbeddedFile] = []
  /// Tensors that are complete.
  public private(set) var tensors: [IdfxTensor] = []

  private let output: OutputFile
  private let journal: WriterJournal
  /// End of the last complete item.
  private var end = IdfxFormat.headerBytes
  private var pending: [IdfxBlock] = []

  /// Bytes written so far.
  public var byteCount: Int { output.size }

  /// Path of the file in the making.
  public static func partialPath(_ path: String) -> String { path + ".partial" }
  /// Path of the journal.
  public static func journalPath(_ path: String) -> String { path + ".journal" }

  /// Begins, or takes up again, the file that is to be called `path`.
  ///
  /// `identity` is what the bytes depend on (sources, recipe, codec, level, version); work that was
  /// begun with another identity is thrown away.
  public convenience init(
    path: String,
    codec: BlockCodec,
    identity: [UInt8]
  ) throws(WeightFileError) {
    try self.init(path: path, codec: codec, identity: identity, capacity: .max)
  }

  /// As above, on a disk that is full after `capacity` bytes.
  package init(
    path: String,
    codec: BlockCodec,
    identity: [UInt8],
    capacity: Int
  ) throws(WeightFileError) {
    self.path = path
    self.codec = codec
    output = try OutputFile(path: Self.partialPath(path), capacity: capacity)
    let opened = try WriterJournal.open(path: Self.journalPath(path), identity: identity)
    journal = opened.journal
    if !opened.records.isEmpty, try startsWithHeader() {
      for record in opened.records {
        guard try adopt(record) else { break }
      }
    }
    try journal.keep(records: files.count + tensors.count)
    if end == IdfxFormat.headerBytes {
      try output.truncate(to: 0)
      try output.append(IdfxFormat.header)
    } else {
      try output.truncate(to: end)
    }
  }

  // MARK: Resuming

  private func startsWithHeader() throws(WeightFileError) -> Bool {
    guard output.size >= IdfxFormat.headerBytes else { return false }
    let file = try InputFile(path: output.path)
    return try file.bytes(at: 0, count: IdfxFormat.headerBytes) == IdfxFormat.header
  }

  /// Takes over one item if its record is sound and all its blocks are there.
  private func adopt(_ record: WriterJournal.Record) throws(WeightFileError) -> Bool {
    var reader = ByteReader(record.payload)
    var cursor = end
    switch record.kind {
    case .file:
      guard tensors.isEmpty,
        let file = try? IdfxDirectory.decodeFile(&reader, cursor: &cursor), reader.remaining == 0,
        try isIntact([file.extent])
      else { return false }
      files.append(file)
    case .tensor:
      guard let tensor = try? IdfxDirectory.decodeTensor(&reader, cursor: &cursor),
        reader.remaining == 0, try isIntact(tensor.extents)
      else { return false }
      tensors.append(tensor)
    }
    end = cursor
    return true
  }

  private func isIntact(_ extents: [IdfxExtent]) throws(WeightFileError) -> Bool {
    let file = try InputFile(path: output.path)
    var cursor = end
    for block in extents.flatMap(\.blocks) {
      guard block.offset >= cursor, block.offset <= file.size,
        block.storedBytes <= file.size - block.offset
      else { return false }
      let padding = try file.bytes(at: cursor, count: block.offset - cursor)
      let bytes = try file.bytes(at: block.offset, count: block.storedBytes)
      guard padding.allSatisfy({ $0 == 0 }), XXHash64.hash(bytes) == block.checksum else {
        return false
      }
      cursor = block.offset + block.storedBytes
    }
    return true
  }

  // MARK: Appending

  /// Appends an embedded file; all files come before the first tensor.
  public func append(
    file name: String,
    contents: [UInt8],
    encoder: IdfxBlockEncoder
  ) throws(WeightFileError) {
    precondition(tensors.isEmpty && pending.isEmpty, "files come before tensors")
    precondition(CheckpointFolder.isPlainName(name), "an embedded file has a plain name")
    try beginPlane(codec)
    for start in stride(from: 0, to: contents.count, by: IdfxFormat.maximumBlockBytes) {
      let piece = contents[start..<min(start + IdfxFormat.maximumBlockBytes, contents.count)]
      try append(encoder.encode(Array(piece)))
    }
    var extent = IdfxExtent(
      byteCount: contents.count,
      blockByteCount: IdfxFormat.maximumBlockBytes,
      codec: codec,
      blocks: pending
    )
    pending = []
    end = placed(&extent, after: end)
    let file = IdfxEmbeddedFile(name: name, extent: extent)
    var writer = ByteWriter()
    IdfxDirectory.encode(file, into: &writer)
    try journal.append(.init(kind: .file, payload: writer.bytes))
    files.append(file)
  }

  /// Begins the next plane of a tensor: pads to where its first block must lie.
  public func beginPlane(_ codec: BlockCodec) throws(WeightFileError) {
    let alignment = codec == .raw ? IdfxFormat.rawAlignment : IdfxFormat.alignment
    let padding = (alignment - output.size % alignment) % alignment
    guard padding > 0 else { return }
    try output.append([UInt8](repeating: 0, count: padding))
  }

  /// Appends the next block of the plane.
  public func append(_ block: IdfxEncodedBlock) throws(WeightFileError) {
    pending.append(
      IdfxBlock(offset: output.size, storedBytes: block.bytes.count, checksum: block.checksum)
    )
    try output.append(block.bytes)
  }

  /// Declares the blocks appended since the last item, all of them in `codec`, to be this tensor, plane after plane.
  ///
  /// - Precondition: their number is what `shape` and `storage` ask for.
  public func endTensor(
    _ name: String,
    shape: Shape,
    storage: IdfxStorage,
    codec: BlockCodec,
    signalEnergy: Double,
    errorEnergy: Double
  ) throws(WeightFileError) {
    guard let planes = IdfxTensor.planes(storage, shape: shape) else {
      throw .badTensor(path: path, tensor: name, reason: "is too large for the format")
    }
    var blocks = pending[...]
    pending = []
    var extents: [IdfxExtent] = []
    for plane in planes {
      let count = IdfxExtent.blockCount(plane.bytes, plane.block)
      precondition(blocks.count >= count, "blocks are missing")
      var extent = IdfxExtent(
        byteCount: plane.bytes,
        blockByteCount: plane.block,
        codec: codec,
        blocks: Array(blocks.prefix(count))
      )
      blocks = blocks.dropFirst(count)
      end = placed(&extent, after: end)
      extents.append(extent)
    }
    precondition(blocks.isEmpty, "more blocks than the tensor has")
    let tensor = IdfxTensor(
      name: name,
      shape: shape,
      storage: storage,
      signalEnergy: signalEnergy,
      errorEnergy: errorEnergy,
      extents: extents
    )
    var writer = ByteWriter()
    IdfxDirectory.encode(tensor, into: &writer)
    try journal.append(.init(kind: .tensor, payload: writer.bytes))
    tensors.append(tensor)
  }

  /// Places blocks by the rule of the format, which must agree with where they were written.
  private func placed(_ extent: inout IdfxExtent, after cursor: Int) -> Int {
    let written = extent.blocks
    guard let end = extent.place(after: cursor), extent.blocks == written || written.isEmpty else {
      preconditionFailure("blocks were not written where the format places them")
    }
    return end
  }

  /// Writes directory and footer, makes everything durable and gives the file its final name.
  public func seal(
    toolVersion: String,
    recipe: String,
    sources: [IdfxSource]
  ) throws(WeightFileError) {
    var directory = IdfxDirectory(toolVersion: toolVersion, recipe: recipe)
    directory.sources = sources
    directory.files = files
    directory.tensors = tensors
    let padded = IdfxFormat.aligned(end, to: IdfxFormat.alignment) ?? end
    try output.truncate(to: end)
    try output.append([UInt8](repeating: 0, count: padded - end))
    let encoded = directory.encoded
    try output.append(encoded)
    try output.append(IdfxFooter(directoryOffset: padded, directory: encoded).encoded)
    try output.synchronize()
    try OutputFile.rename(output.path, to: path)
    OutputFile.remove(Self.journalPath(path))
  }
}
