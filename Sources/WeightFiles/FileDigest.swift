// SHA-256 of a file, for provenance. Reads in pieces of 4 MiB; memory does not grow with the file.

import Crypto

/// SHA-256 of files and bytes.
public enum FileDigest {
  /// The 32 bytes of the SHA-256 of `file`; `progress` gets the bytes read and may stop it by
  /// returning `false`, which gives `nil`.
  public static func sha256(
    of file: InputFile,
    progress: (Int) -> Bool = { _ in true }
  ) throws(WeightFileError) -> [UInt8]? {
    var hash = SHA256()
    var offset = 0
    while offset < file.size {
      let piece = try file.bytes(at: offset, count: min(4 << 20, file.size - offset))
      piece.withUnsafeBytes { hash.update(bufferPointer: $0) }
      offset += piece.count
      guard progress(piece.count) else { return nil }
    }
    return Array(hash.finalize())
  }

  /// The 32 bytes of the SHA-256 of `bytes`.
  public static func sha256(of bytes: [UInt8]) -> [UInt8] { Array(SHA256.hash(data: bytes)) }

  /// Lower-case hexadecimal digits.
  public static func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef")
    return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
  }
}
