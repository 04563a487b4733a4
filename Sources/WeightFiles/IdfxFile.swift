// An open `.idfx` file: header, footer and directory validated, blocks read on demand. Implements the
// reading side of Format.md. Refuses any file that breaks an invariant, naming the file and the rule;
// checks the checksum of every block that it decodes, and (in `verify`) of every byte there is.

import Tensors

/// How the bytes of raw blocks reach memory.
public enum IdfxAccess: Sendable {
  /// Used in place from the mapped file: nothing is copied, pages are shared between processes.
  case mapped
  /// Read into memory and checked against their checksums, immune to later changes of the file.
  case copied
}

/// What an `.idfx` file says about itself.
public struct IdfxMetadata: Sendable {
  /// The program and version that wrote the file.
  public let toolVersion: String
  /// The recipe, as JSON text.
  public let recipe: String
  /// The files it was made from.
  public let sources: [IdfxSource]
  /// Names of the embedded files (`config.json`, `tokenizer.model`, …), in file order.
  public let files: [String]
}

/// A validated `.idfx` file.
///
/// All methods may be called from several threads at once.
public final class IdfxFile: TensorSource {
  /// Path as given.
  public let path: String
  /// What the file says about itself.
  public let metadata: IdfxMetadata
  /// Every tensor, in file order.
  public let tensors: [IdfxTensor]

  /// The bytes of the file.
  let file: InputFile
  private let directory: IdfxDirectory
  private let directoryOffset: Int
  private let tensorIndex: [String: Int]
  private let map: ByteRegion?
  private let threads: Int

  /// Opens and validates the file at `path`; reads its header, footer and directory only.
  ///
  /// `access` says what happens to raw blocks, `threads` how many threads may decode the blocks of
  /// one tensor.
  public static func open(
    _ path: String,
    access: IdfxAccess = .mapped,
    threads: Int = 1
  ) throws(WeightFileError) -> IdfxFile {
    try IdfxFile(path: path, access: access, threads: threads)
  }

  private init(path: String, access: IdfxAccess, threads: Int) throws(WeightFileError) {
    self.path = path
    self.threads = max(1, threads)
    file = try InputFile(path: path)
    (directory, directoryOffset) = try Self.readDirectory(file)
    metadata = IdfxMetadata(
      toolVersion: directory.toolVersion,
      recipe: directory.recipe,
      sources: directory.sources,
      files: directory.files.map(\.name)
    )
    tensors = directory.tensors
    tensorIndex = Dictionary(
      uniqueKeysWithValues: directory.tensors.enumerated().map { ($1.name, $0) }
    )
    let hasRaw = directory.tensors.contains { $0.extents.contains { $0.codec == .raw } }
    map = access == .mapped && hasRaw ? try MappedFile.region(file) : nil
  }

  private static func readDirectory(
    _ file: InputFile
  ) throws(WeightFileError) -> (IdfxDirectory, Int) {
    func bad(_ reason: String) -> WeightFileError { .malformed(path: file.path, reason: reason) }
    let fixed = IdfxFormat.headerBytes + IdfxFormat.footerBytes
    guard file.size >= fixed else {
      throw bad("is no .idfx file: only \(file.size) bytes long")
    }
    let header = try file.bytes(at: 0, count: IdfxFormat.headerBytes)
    guard header.starts(with: IdfxFormat.magic) else { throw bad("is no .idfx file") }
    guard header == IdfxFormat.header else {
      let version = header[8..<12].reversed().reduce(0) { $0 << 8 | Int($1) }
      throw bad(
        version == Int(IdfxFormat.version)
          ? "has a damaged header"
          : "is of format version \(version); this program reads version \(IdfxFormat.version)"
      )
    }
    do {
      let end = file.size - IdfxFormat.footerBytes
      let footer = try IdfxFooter(try file.bytes(at: end, count: IdfxFormat.footerBytes))
      guard footer.fileBytes == UInt64(file.size) else {
        throw bad("is \(file.size) bytes long but was written with \(footer.fileBytes)")
      }
      guard footer.directoryBytes <= UInt64(IdfxFormat.maximumDirectoryBytes),
        footer.directoryBytes <= UInt64(end),
        footer.directoryOffset == UInt64(end) - footer.directoryBytes,
        footer.directoryOffset >= UInt64(IdfxFormat.headerBytes)
      else { throw bad("has a directory that does not lie before its footer") }
      let offset = Int(footer.directoryOffset)
      let bytes = try file.bytes(at: offset, count: end - offset)
      guard XXHash64.hash(bytes) == footer.directoryChecksum else {
        throw bad("has a damaged directory")
      }
      let decoded = try IdfxDirectory.decode(bytes)
      guard IdfxFormat.aligned(decoded.end, to: IdfxFormat.alignment) == offset else {
        throw bad("has blocks that do not end where its directory begins")
      }
      return (decoded.directory, offset)
    } catch let error as ByteReader.Failure {
      throw bad(error.reason)
    } catch let error as WeightFileError {
      throw error
    } catch {
      throw bad("\(error)")
    }
  }

  // MARK: Lookup

  /// The directory entry of the tensor called `name`, or `nil`.
  public func tensor(named name: String) -> IdfxTensor? {
    tensorIndex[name].map { directory.tensors[$0] }
  }

  /// Whether there is a tensor called `name`.
  public func contains(_ name: String) -> Bool { tensorIndex[name] != nil }

  /// Extents of the tensor called `name`, or `nil`.
  public func shape(of name: String) -> Shape? { tensor(named: name)?.shape }

  /// Bytes of the whole file.
  public var fileByteCount: Int { file.size }

  /// Whether the bytes of `tensor` are used where they lie in the mapped file.
  public func isInPlace(_ tensor: IdfxTensor) -> Bool {
    map != nil && tensor.extents.allSatisfy { $0.codec == .raw }
  }

  /// Says that the bytes of `tensor` are not needed for now: used in place, they stop counting as this process's memory
  /// until they are read again.
  public func leave(_ tensor: IdfxTensor) {
    guard isInPlace(tensor), let map else { return }
    for extent in tensor.extents {
      guard let first = extent.blocks.first,
        let bytes = ByteSlice(map, offset: first.offset, count: extent.byteCount)
      else { continue }
      MappedFile.leave(bytes)
    }
  }

  /// The packed matrix called `name`: raw planes in place (when mapped), zstd planes decoded.
  public func packed(_ name: String) throws(WeightFileError) -> PackedMatrix {
    guard let tensor = tensor(named: name), case .packed(let layout, let codebook) = tensor.storage
    else { throw .noSuchTensor(path: path, tensor: name) }
    var planes: [ByteSlice] = []
    for extent in tensor.extents { planes.append(try bytes(of: extent, tensor: name)) }
    guard
      let matrix = PackedMatrix(
        layout: layout,
        codebook: codebook,
        codes: planes[0],
        scales: planes.count > 1 ? planes[1] : nil,
        rowScales: planes.count > 2 ? planes[2] : nil
      )
    else { throw .badTensor(path: path, tensor: name, reason: "does not fit its layout") }
    return matrix
  }

  /// The dense tensor called `name`.
  public func dense(_ name: String) throws(WeightFileError) -> DenseTensor {
    guard let tensor = tensor(named: name), case .dense = tensor.storage else {
      throw .noSuchTensor(path: path, tensor: name)
    }
    let bytes = try bytes(of: tensor.extents[0], tensor: name)
    guard let dense = DenseTensor(shape: tensor.shape, bytes: bytes) else {
      throw .badTensor(path: path, tensor: name, reason: "does not fit its shape")
    }
    return dense
  }

  /// The bytes of an embedded file, or `nil` when there is none called `name`.
  public func embeddedFile(_ name: String) throws(WeightFileError) -> [UInt8]? {
    guard let entry = directory.files.first(where: { $0.name == name }) else { return nil }
    let region = try decoded(entry.extent, tensor: name)
    return withExtendedLifetime(region) { Array(region.bytes) }
  }

  /// Asks the system to forget what it keeps of the file in the page cache.
  public func leavePageCache() { file.leavePageCache() }

  // MARK: Blocks

  private func bytes(
    of extent: IdfxExtent,
    tensor: String
  ) throws(WeightFileError) -> ByteSlice {
    guard extent.codec == .raw, let map, let first = extent.blocks.first else {
      return ByteSlice(try decoded(extent, tensor: tensor))
    }
    try file.checkUnchanged()
    guard let slice = ByteSlice(map, offset: first.offset, count: extent.byteCount) else {
      throw .badTensor(path: path, tensor: tensor, reason: "lies outside the file")
    }
    return slice
  }

  /// Reads, checks and decodes all blocks of `extent`, several at a time.
  private func decoded(
    _ extent: IdfxExtent,
    tensor: String
  ) throws(WeightFileError) -> ByteRegion {
    let output = BlockOutput(byteCount: extent.byteCount)
    let failures = FirstFailure<WeightFileError>()
    let workers = min(threads, extent.blocks.count)
    ParallelWork.run(threads: workers, items: extent.blocks.count) { claim in
      let reader = BlockReader()
      while let index = claim() {
        guard !failures.hasFailed else { return }
        do throws(WeightFileError) {
          let target = output.slice(
            offset: index * extent.blockByteCount,
            count: extent.rawByteCount(ofBlock: index)
          )
          try reader.decode(extent, index, of: tensor, from: file, into: target)
        } catch {
          failures.record(error, order: index)
        }
      }
    }
    if let error = failures.first { throw error }
    return output.freeze()
  }

  // MARK: Verification

  /// Reads every byte of the file: all checksums, all frames, all padding.
  ///
  /// `progress` gets the bytes of the file dealt with since its last call; when it returns `false`,
  /// verification stops and the result is `false`.
  public func verify(progress: (Int) -> Bool = { _ in true }) throws(WeightFileError) -> Bool {
    var cursor = IdfxFormat.headerBytes
    for entry in directory.files {
      guard try verify(entry.extent, entry.name, &cursor, progress) else { return false }
    }
    for tensor in directory.tensors {
      for extent in tensor.extents {
        guard try verify(extent, tensor.name, &cursor, progress) else { return false }
      }
    }
    try checkPadding(from: cursor, to: directoryOffset)
    try file.checkUnchanged()
    return true
  }

  private func verify(
    _ extent: IdfxExtent,
    _ name: String,
    _ cursor: inout Int,
    _ progress: (Int) -> Bool
  ) throws(WeightFileError) -> Bool {
    guard let first = extent.blocks.first, let last = extent.blocks.last else { return true }
    try checkPadding(from: cursor, to: first.offset)
    cursor = last.offset + last.storedBytes
    _ = try decoded(extent, tensor: name)
    return progress(extent.storedByteCount)
  }

  private func checkPadding(from start: Int, to end: Int) throws(WeightFileError) {
    guard try file.bytes(at: start, count: end - start).allSatisfy({ $0 == 0 }) else {
      throw .malformed(path: path, reason: "has bytes that are not zero between its blocks")
    }
  }
}
