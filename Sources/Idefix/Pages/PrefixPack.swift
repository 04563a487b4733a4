// The state of a prompt's beginning (few-shot examples with their images, say) as a file:
//   "IDFXPFX1" · header length u32 · header JSON · pages of the blocks · pages of the images · SHA-256 of all before.
// Little-endian. Belongs to one model file, one numerics version and one cache element; refused otherwise, and if a
// single bit is wrong. Holds no tenant's name: whoever loads it gives it theirs.

import Crypto
import Foundation

/// A prompt's beginning with its cached state.
package struct PrefixPack: Sendable, Equatable {
  /// What a pack was made with; all of it has to agree.
  package struct Identity: Codable, Sendable, Equatable {
    /// Changes when the same weights and tokens give other bits.
    package static let currentNumerics = 1

    package var fingerprint: String
    package var numerics: Int
    package var element: String
    package var layers: Int
    package var imagePages: Int
    package var pageBytes: Int

    /// What a pack is made with.
    package init(
      fingerprint: String,
      numerics: Int,
      element: String,
      layers: Int,
      imagePages: Int,
      pageBytes: Int
    ) {
      self.fingerprint = fingerprint
      self.numerics = numerics
      self.element = element
      self.layers = layers
      self.imagePages = imagePages
      self.pageBytes = pageBytes
    }
  }

  private struct Header: Codable {
    var identity: Identity
    var tokens: [Int32]
    var attendedImages: [Int]
    var images: [String]
  }

  /// What it was made with.
  package var identity: Identity
  /// Tokens of full blocks.
  package var tokens: [Int32]
  /// For each token the image it attends to, -1 for none.
  package var attendedImages: [Int]
  /// Digests of the images.
  package var images: [ContentKey]
  /// For each block of 16 tokens its pages' bytes.
  package var blocks: [[[UInt8]]]
  /// For each image its pages' bytes.
  package var imageBlocks: [[[UInt8]]]

  private static let magic = Array("IDFXPFX1".utf8)
  private static let maximumHeaderBytes = 16 << 20

  /// Describes a pack.
  package init(
    identity: Identity,
    tokens: [Int32],
    attendedImages: [Int],
    images: [ContentKey],
    blocks: [[[UInt8]]],
    imageBlocks: [[[UInt8]]]
  ) {
    self.identity = identity
    self.tokens = tokens
    self.attendedImages = attendedImages
    self.images = images
    self.blocks = blocks
    self.imageBlocks = imageBlocks
  }

  /// The file's bytes.
  package func encoded() throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    let header = try encoder.encode(
      Header(
        identity: identity,
        tokens: tokens,
        attendedImages: attendedImages,
        images: images.map { Data($0.bytes).base64EncodedString() }
      )
    )
    var bytes = Self.magic
    for shift in [0, 8, 16, 24] { bytes.append(UInt8(truncatingIfNeeded: header.count >> shift)) }
    bytes += header
    for page in (blocks + imageBlocks).joined() { bytes += page }
    return bytes + Array(SHA256.hash(data: bytes))
  }

  /// Reads a file's bytes; `identity` is what they have to agree with.
  package init(_ bytes: [UInt8], expecting identity: Identity) throws(EngineError) {
    let start = Self.magic.count + 4
    guard bytes.count >= start + 32, bytes.starts(with: Self.magic) else {
      throw .invalidPrefixPack(reason: "it is no prefix pack")
    }
    let body = bytes.dropLast(32)
    guard Array(SHA256.hash(data: body)) == Array(bytes.suffix(32)) else {
      throw .invalidPrefixPack(reason: "it is damaged")
    }
    let length = bytes[Self.magic.count..<start].reversed().reduce(0) { $0 << 8 | Int($1) }
    guard length <= Self.maximumHeaderBytes, length <= body.count - start,
      let header = try? JSONDecoder().decode(
        Header.self,
        from: Data(bytes[start..<(start + length)])
      )
    else { throw .invalidPrefixPack(reason: "its header is damaged") }
    guard header.identity == identity else {
      throw .invalidPrefixPack(reason: "it was made with another model, version or cache type")
    }
    let images = header.images.compactMap { Data(base64Encoded: $0) }
      .compactMap { ContentKey(bytes: $0) }
    let blockCount = header.tokens.count / pageTokens
    guard header.tokens.count == blockCount * pageTokens,
      header.attendedImages.count == header.tokens.count, images.count == header.images.count,
      header.attendedImages.allSatisfy({ $0 >= -1 && $0 < images.count }),
      let pageCount = Self.pageCount(blockCount, images.count, identity),
      case let size = pageCount.multipliedReportingOverflow(by: identity.pageBytes),
      !size.overflow, size.partialValue == body.count - start - length
    else { throw .invalidPrefixPack(reason: "its parts do not fit together") }
    self.identity = identity
    tokens = header.tokens
    attendedImages = header.attendedImages
    self.images = images
    var next = start + length
    func pages(_ count: Int) -> [[UInt8]] {
      (0..<count).map { _ in
        defer { next += identity.pageBytes }
        return Array(bytes[next..<(next + identity.pageBytes)])
      }
    }
    blocks = (0..<blockCount).map { _ in pages(identity.layers) }
    imageBlocks = images.map { _ in pages(identity.imagePages) }
  }

  private static func pageCount(_ blocks: Int, _ images: Int, _ identity: Identity) -> Int? {
    let text = blocks.multipliedReportingOverflow(by: identity.layers)
    let image = images.multipliedReportingOverflow(by: identity.imagePages)
    let sum = text.partialValue.addingReportingOverflow(image.partialValue)
    return text.overflow || image.overflow || sum.overflow ? nil : sum.partialValue
  }

  /// Names of the blocks, then of the images, for one tenant.
  package func keys(tenant: String) -> (blocks: [ContentKey], images: [ContentKey]) {
    let images = images.map { ContentKey.image(digest: $0, tenant: tenant) }
    var key = ContentKey.root(tenant: tenant)
    let blocks = (0..<(tokens.count / pageTokens)).map { block in
      let range = (block * pageTokens)..<((block + 1) * pageTokens)
      key = key.followed(
        by: tokens[range],
        images: attendedImages[range].map { $0 < 0 ? nil : images[$0] }
      )
      return key
    }
    return (blocks, images)
  }
}
