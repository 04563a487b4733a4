// What a prefix pack says of itself: the prompt's beginning (few-shot examples with their images, say) whose state it
// holds, and what that state was made with. Belongs to one model file, one numerics version and one cache element, and is
// refused with any other. Holds no tenant's name: whoever loads it gives it theirs. The file around it: PrefixPackFile.

import Foundation
import Kernels

/// The head of a prefix pack.
package struct PrefixPack: Sendable, Equatable {
  /// What a pack was made with; all of it has to agree.
  package struct Identity: Codable, Sendable, Equatable {
    /// Fingerprint of the model file.
    package var fingerprint: String
    /// Changes when the same weights and tokens give other bits.
    package var numerics: Int
    /// Storage of keys and values.
    package var element: String
    /// Pages of a block of tokens.
    package var layers: Int
    /// Pages of an image.
    package var imagePages: Int
    /// Bytes of a page.
    package var pageBytes: Int

    /// What a pack is made with.
    package init(
      fingerprint: String,
      numerics: Int = Numerics.version,
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

  /// Describes a pack.
  package init(
    identity: Identity,
    tokens: [Int32],
    attendedImages: [Int],
    images: [ContentKey]
  ) {
    self.identity = identity
    self.tokens = tokens
    self.attendedImages = attendedImages
    self.images = images
  }

  /// The head of a pack of a prompt's full blocks.
  package init(_ prepared: PreparedRequest, identity: Identity) {
    let count = prepared.tokens.count / pageTokens * pageTokens
    self.init(
      identity: identity,
      tokens: Array(prepared.tokens.prefix(count)),
      attendedImages: Array(prepared.attendedImages.prefix(count)),
      images: prepared.images.map(\.digest)
    )
  }

  /// For each block of the file, images first and tokens after them, its pages.
  package var pageCounts: [Int] {
    Array(repeating: identity.imagePages, count: images.count)
      + Array(repeating: identity.layers, count: tokens.count / pageTokens)
  }

  /// The head as JSON.
  package func encoded() throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = .sortedKeys
    return Array(
      try encoder.encode(
        Header(
          identity: identity,
          tokens: tokens,
          attendedImages: attendedImages,
          images: images.map { Data($0.bytes).base64EncodedString() }
        )
      )
    )
  }

  /// Reads a head; `identity` is what it has to agree with.
  package init(json: [UInt8], expecting identity: Identity) throws(EngineError) {
    guard let header = try? JSONDecoder().decode(Header.self, from: Data(json)) else {
      throw .invalidPrefixPack(reason: "its header is damaged")
    }
    guard header.identity == identity else {
      throw .invalidPrefixPack(reason: "it was made with another model, version or cache type")
    }
    let images = header.images.compactMap { Data(base64Encoded: $0) }
      .compactMap { ContentKey(bytes: $0) }
    guard header.tokens.count % pageTokens == 0,
      header.attendedImages.count == header.tokens.count, images.count == header.images.count,
      header.attendedImages.allSatisfy({ $0 >= -1 && $0 < images.count })
    else { throw .invalidPrefixPack(reason: "its parts do not fit together") }
    self.init(
      identity: identity,
      tokens: header.tokens,
      attendedImages: header.attendedImages,
      images: images
    )
  }

  /// Names of the blocks in the order of the file, for one tenant.
  package func keys(tenant: String) -> [ContentKey] {
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
    return images + blocks
  }
}
