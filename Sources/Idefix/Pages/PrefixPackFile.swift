// A prefix pack as a file, written and read block by block, so that it never stands in memory as a whole:
//   "IDFXPFX2" · header length u32 · header JSON · SHA-256 of all before (H)
//   then for each block: its pages · SHA-256 of (H, number of the block u64, its pages).
// Little-endian. The file ends with the last block. A block that was damaged, moved or taken from another pack is
// noticed before it is used.

import Crypto
import WeightFiles

/// What both sides know of the layout.
private enum Layout {
  static let magic = Array("IDFXPFX2".utf8)
  static let digestBytes = 32
  static let maximumHeaderBytes = 16 << 20

  static func littleEndian(_ value: Int, bytes: Int) -> [UInt8] {
    (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
  }

  static func digest(_ bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }

  static func digest(block: Int, _ bytes: [UInt8], header: [UInt8]) -> [UInt8] {
    var hash = SHA256()
    hash.update(data: header + littleEndian(block, bytes: 8))
    hash.update(data: bytes)
    return Array(hash.finalize())
  }
}

/// Writes a pack, its blocks in the order of ``PrefixPack/keys(tenant:)``.
///
/// The file has a temporary name until it is finished, and goes away with a writer that never is.
final class PrefixPackWriter {
  private let path: String
  private let output: OutputFile
  private let headerDigest: [UInt8]
  private var blocks = 0
  private var isFinished = false

  init(_ pack: PrefixPack, path: String) throws {
    self.path = path
    let json = try pack.encoded()
    guard json.count <= Layout.maximumHeaderBytes else {
      throw EngineError.invalidPrefixPack(reason: "its prompt is too long")
    }
    let header = Layout.magic + Layout.littleEndian(json.count, bytes: 4) + json
    headerDigest = Layout.digest(header)
    output = try OutputFile(path: path + ".partial", mode: 0o600)
    try output.truncate(to: 0)
    try output.append(header + headerDigest)
  }

  deinit { if !isFinished { OutputFile.remove(output.path) } }

  /// Adds the next block.
  func append(_ pages: [[UInt8]]) throws {
    let bytes = Array(pages.joined())
    try output.append(bytes + Layout.digest(block: blocks, bytes, header: headerDigest))
    blocks += 1
  }

  /// Gives the file its name; its size in bytes.
  func finish() throws -> Int {
    try output.synchronize()
    try OutputFile.rename(output.path, to: path)
    isFinished = true
    return output.size
  }
}

/// Reads a pack.
final class PrefixPackReader {
  /// What the file says it holds.
  let pack: PrefixPack
  /// Size of the file in bytes.
  var size: Int { input.size }

  private let input: InputFile
  private let headerDigest: [UInt8]
  private var place: Int
  private var block = 0

  /// Opens a file and checks its header and size; `identity` is what it has to agree with.
  init(path: String, expecting identity: PrefixPack.Identity) throws {
    input = try InputFile(path: path)
    let start = Layout.magic.count + 4
    guard input.size >= start + Layout.digestBytes,
      case let lead = try input.bytes(at: 0, count: start), lead.starts(with: Layout.magic)
    else { throw EngineError.invalidPrefixPack(reason: "it is no prefix pack") }
    let length = lead.suffix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
    guard length <= Layout.maximumHeaderBytes,
      length <= input.size - start - Layout.digestBytes
    else { throw EngineError.invalidPrefixPack(reason: "its header is damaged") }
    let json = try input.bytes(at: start, count: length)
    headerDigest = Layout.digest(lead + json)
    place = start + length + Layout.digestBytes
    guard
      try input.bytes(at: start + length, count: Layout.digestBytes) == headerDigest
    else { throw EngineError.invalidPrefixPack(reason: "its header is damaged") }
    pack = try PrefixPack(json: json, expecting: identity)
    // The header is ours or forged: its counts are bounded by its length, its page size by the engine.
    let bytes = pack.pageCounts.reduce(0) { $0 + $1 * identity.pageBytes + Layout.digestBytes }
    guard bytes == input.size - place else {
      throw EngineError.invalidPrefixPack(reason: "it is incomplete")
    }
  }

  /// The pages of the next block; `nil` after the last.
  func next() throws -> [[UInt8]]? {
    guard block < pack.pageCounts.count else { return nil }
    let pageBytes = pack.identity.pageBytes
    let count = pack.pageCounts[block]
    let bytes = try input.bytes(at: place, count: count * pageBytes)
    place += bytes.count
    guard
      try input.bytes(at: place, count: Layout.digestBytes)
        == Layout.digest(block: block, bytes, header: headerDigest)
    else { throw EngineError.invalidPrefixPack(reason: "it is damaged") }
    place += Layout.digestBytes
    block += 1
    return (0..<count).map { Array(bytes[($0 * pageBytes)..<(($0 + 1) * pageBytes)]) }
  }
}
