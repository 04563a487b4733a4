// Names of cached state by content: what a block of keys and values depends on, and nothing else, goes into
// its SHA-256. Every field has a fixed width or a length in front, every kind of key its own first bytes, and
// tenants their own salt, so that no request can name another tenant's state.

import Crypto

/// A 256-bit name.
package struct ContentKey: Hashable, Sendable {
  private let words: SIMD4<UInt64>

  private init(_ hash: SHA256) {
    var words = SIMD4<UInt64>()
    for (index, byte) in hash.finalize().enumerated() {
      words[index / 8] = words[index / 8] << 8 | UInt64(byte)
    }
    self.words = words
  }

  /// A key from its bytes; `nil` unless there are 32.
  package init?(bytes: some Collection<UInt8>) {
    guard bytes.count == 32 else { return nil }
    var words = SIMD4<UInt64>()
    for (index, byte) in bytes.enumerated() {
      words[index / 8] = words[index / 8] << 8 | UInt64(byte)
    }
    self.words = words
  }

  /// The digest's bytes.
  package var bytes: [UInt8] {
    (0..<32).map { UInt8(truncatingIfNeeded: words[$0 / 8] >> UInt64(56 - 8 * ($0 % 8))) }
  }

  /// The start of every chain of one tenant.
  package static func root(tenant: String) -> ContentKey {
    var hash = SHA256()
    hash.update(data: Array("idefix prefix 1".utf8))
    hash.append(tenant)
    return ContentKey(hash)
  }

  /// The name of a block that follows the block (or root) `self`.
  ///
  /// - Parameters:
  ///   - tokens: The tokens of the block.
  ///   - images: For each token the key of the image it attends to.
  /// - Returns: A name that depends on all of these and on everything before.
  package func followed(
    by tokens: some Collection<Int32>,
    images: some Collection<ContentKey?>
  )
    -> ContentKey
  {
    var hash = SHA256()
    hash.update(data: Array("idefix block 1".utf8) + bytes)
    for (token, image) in zip(tokens, images) {
      hash.append(UInt64(UInt32(bitPattern: token)))
      hash.update(data: image.map { [1] + $0.bytes } ?? [0])
    }
    return ContentKey(hash)
  }

  /// The name of an image for one tenant, from its digest.
  package static func image(digest: ContentKey, tenant: String) -> ContentKey {
    var hash = SHA256()
    hash.update(data: Array("idefix image 1".utf8))
    hash.append(tenant)
    hash.update(data: digest.bytes)
    return ContentKey(hash)
  }

  /// The name of an image file for one tenant.
  package static func file(_ bytes: [UInt8], tenant: String) -> ContentKey {
    var hash = SHA256()
    hash.update(data: Array("idefix file 1".utf8))
    hash.append(tenant)
    hash.update(data: bytes)
    return ContentKey(hash)
  }

  /// A digest of an image's processed pixels, which determine everything the model sees of it.
  package static func digest(pixels: [Float], side: Int) -> ContentKey {
    var hash = SHA256()
    hash.update(data: Array("idefix pixels 1".utf8))
    hash.append(UInt64(side))
    hash.append(UInt64(pixels.count))
    let chunk = 4096
    for start in stride(from: 0, to: pixels.count, by: chunk) {
      var bytes: [UInt8] = []
      bytes.reserveCapacity(4 * chunk)
      for pixel in pixels[start..<min(start + chunk, pixels.count)] {
        let bits = pixel.bitPattern
        for shift in [0, 8, 16, 24] as [UInt32] {
          bytes.append(UInt8(truncatingIfNeeded: bits >> shift))
        }
      }
      hash.update(data: bytes)
    }
    return ContentKey(hash)
  }
}

extension SHA256 {
  fileprivate mutating func append(_ value: UInt64) {
    update(data: (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) })
  }

  fileprivate mutating func append(_ string: String) {
    append(UInt64(string.utf8.count))
    update(data: Array(string.utf8))
  }
}
