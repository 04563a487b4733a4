// `.idfx` files that lie, each in one field, with all checksums right: each must be refused.

/// A hand-made file and a part of the sentence that must say what is wrong.
public struct HostileIdfx: Sendable {
  /// What is wrong.
  public let name: String
  /// The file.
  public let bytes: [UInt8]
  /// What the refusal must say.
  public let says: String

  init(_ name: String, _ says: String, _ change: (inout HandMadeIdfx) -> Void) {
    var file = HandMadeIdfx()
    change(&file)
    self.name = name
    self.says = says
    bytes = file.bytes
  }

  /// Every field of the directory wrong once, with all checksums right.
  public static let all: [HostileIdfx] = [
    HostileIdfx("version 2", "format version 2") { $0.version = 2 },
    HostileIdfx("version 2^32 - 1", "format version 4294967295") { $0.version = Int(UInt32.max) },
    HostileIdfx("source count", "number of sources") { $0.sourceCount = Int(UInt32.max) },
    HostileIdfx("file count", "number of embedded files") { $0.fileCount = Int(UInt32.max) },
    HostileIdfx("tensor count", "number of tensors") { $0.tensorCount = Int(UInt32.max) },
    HostileIdfx("more tensors than there are", "more than the bytes") { $0.tensorCount = 9 },
    HostileIdfx("fewer tensors than there are", "after its last tensor") { $0.tensorCount = 0 },
    HostileIdfx("bytes after the directory", "after its last tensor") { $0.extra = [0] },
    HostileIdfx("two tensors of one name", "two tensors called") {
      $0.repeats = 2
      $0.tensorCount = 2
    },
    HostileIdfx("path as a name", "unsafe name") { $0.fileName = "../config.json" },
    HostileIdfx("empty name", "unsafe name") { $0.fileName = "" },
    HostileIdfx("NUL in a name", "unsafe name") { $0.fileName = "a\0b" },
    HostileIdfx("embedded file of 2^63", "the size of") { $0.fileSize = 1 << 63 },
    HostileIdfx("embedded file of 1 GiB", "the size of") { $0.fileSize = 1 << 30 },
    HostileIdfx("embedded file of another size", "cannot be right") { $0.fileSize = 3 },
    HostileIdfx("unknown codec of a file", "unknown block codec 7") { $0.fileCodec = 7 },
    HostileIdfx("name that is not UTF-8", "not UTF-8") { $0.tensorName = [0xff] },
    HostileIdfx("nine dimensions", "with 9 dimensions") {
      $0.rank = 9
      $0.dimensions = [UInt64](repeating: 1, count: 9)
    },
    HostileIdfx("255 dimensions", "with 255 dimensions") { $0.rank = 255 },
    HostileIdfx("zero dimension", "zero dimension") { $0.dimensions = [0] },
    HostileIdfx("dimension of 2^64 - 1", "a dimension is") { $0.dimensions = [.max] },
    HostileIdfx("dimension product overflow", "overflow") {
      $0.rank = 2
      $0.dimensions = [1 << 40, 1 << 40]
    },
    HostileIdfx("2^40 elements", "before its last block") { $0.dimensions = [1 << 40] },
    HostileIdfx("2^20 by 2^21 elements", "too large") {
      $0.rank = 2
      $0.dimensions = [1 << 20, 1 << 21]
    },
    HostileIdfx("unknown encoding", "unknown encoding 6") { $0.encoding = 6 },
    HostileIdfx("packed vector", "no matrix") { $0.encoding = 2 },
    HostileIdfx("rows longer than a block", "too large") {
      $0.encoding = 1
      $0.rank = 2
      $0.dimensions = [1, 1 << 30]
    },
    HostileIdfx("codebook with -128", "invalid codebook") {
      $0.encoding = 4
      $0.rank = 2
      $0.dimensions = [1, 32]
      $0.codebook = [-128] + (-7...7).map { Int8($0) }
    },
    HostileIdfx("codebook that does not ascend", "invalid codebook") {
      $0.encoding = 5
      $0.rank = 2
      $0.dimensions = [1, 32]
      $0.codebook = (0..<16).map { Int8(16 - $0) }
    },
    HostileIdfx("unknown codec", "unknown block codec 2") { $0.codec = 2 },
    HostileIdfx("error that is NaN", "not a number") { $0.energies = [1, .nan] },
    HostileIdfx("negative error", "not a number") { $0.energies = [1, -1] },
    HostileIdfx("infinite energy", "not a number") { $0.energies = [.infinity, 0] },
    HostileIdfx("raw block of another size", "cannot be right") { $0.storedSizes = [9] },
    HostileIdfx("zstd block beyond the bound", "cannot be right") {
      $0.codec = 1
      $0.storedSizes = [5 << 20]
    },
    HostileIdfx("empty zstd block", "cannot be right") {
      $0.codec = 1
      $0.storedSizes = [0]
    },
    HostileIdfx("block that is not there", "do not end where") {
      $0.dimensions = [100]
      $0.storedSizes = [400]
    },
    HostileIdfx("bytes between blocks and directory", "do not end where") { $0.blocksShift = 64 },
    HostileIdfx("directory offset", "does not lie before") { $0.directoryShift = 8 },
    HostileIdfx("negative directory offset", "does not lie before") {
      $0.directoryShift = -1_000_000
    },
  ]
}
