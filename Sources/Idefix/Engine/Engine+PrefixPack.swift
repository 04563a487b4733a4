// Prefixes on disk: compute once, keep as a file, start warm.

import Foundation

/// What a prefix pack holds.
public struct PrefixPackInfo: Sendable, Equatable {
  /// Tokens whose state it holds; the last few of a prompt may be missing.
  public var tokens: Int
  /// Images whose state it holds.
  public var images: Int
  /// Size of the file.
  public var bytes: Int
}

extension Engine {
  /// Computes the state of a prompt's beginning and writes it to a file.
  ///
  /// - Parameters:
  ///   - prompt: The beginning that later prompts share, such as few-shot examples; rendered as it stands.
  ///   - path: Written under a temporary name first, readable by the owner only.
  /// - Returns: What the file holds.
  /// - Throws: An ``EngineError``, or the file system's error.
  public func savePrefix(_ prompt: Prompt, to path: String) async throws -> PrefixPackInfo {
    // A tenant of its own, so that the pack holds this prompt's state and nobody gets it by asking.
    let tenant = "prefix pack \(UUID().uuidString)"
    let prepared = try await warm(prompt, tenant: tenant)
    let salt = salt(tenant)
    let identity = try await packIdentity()
    let pack = try await onEngineThread { loop in
      try loop.pack(prepared, identity: identity, tenant: salt)
    }
    let bytes = try pack.encoded()
    let partial = path + ".partial"
    guard
      FileManager.default.createFile(
        atPath: partial,
        contents: Data(bytes),
        attributes: [.posixPermissions: 0o600]
      )
    else { throw CocoaError(.fileWriteUnknown, userInfo: [NSFilePathErrorKey: path]) }
    guard rename(partial, path) == 0 else {
      try? FileManager.default.removeItem(atPath: partial)
      throw CocoaError(.fileWriteUnknown, userInfo: [NSFilePathErrorKey: path])
    }
    return PrefixPackInfo(tokens: pack.tokens.count, images: pack.images.count, bytes: bytes.count)
  }

  /// Loads a prefix pack into the cache: requests that begin like it compute only what follows.
  ///
  /// The state is kept like that of recent requests: as long as there is room.
  ///
  /// - Parameters:
  ///   - path: A file that ``savePrefix(_:to:)`` wrote with the same model and cache type.
  ///   - tenant: Whose requests may use it, as in ``GenerationRequest/tenant``.
  /// - Returns: What the file holds.
  /// - Throws: ``EngineError/invalidPrefixPack(reason:)`` for a file that is damaged or belongs to
  ///   another model.
  public func loadPrefix(from path: String, tenant: String = "") async throws -> PrefixPackInfo {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw EngineError.noSuchModel(path: path)
    }
    let pack = try PrefixPack(Array(data), expecting: try await packIdentity())
    let keys = pack.keys(tenant: salt(tenant))
    try await onEngineThread { loop in
      let contents =
        Array(zip(keys.images, pack.imageBlocks)) + Array(zip(keys.blocks, pack.blocks))
      guard loop.scheduler.restore(contents.map { (key: $0.0, pages: $0.1) }) else {
        let needed = contents.reduce(0) { $0 + $1.1.count }
        throw EngineError.outOfPages(needed: needed, available: loop.scheduler.pool.available)
      }
    }
    return PrefixPackInfo(tokens: pack.tokens.count, images: pack.images.count, bytes: data.count)
  }

  private func packIdentity() async throws -> PrefixPack.Identity {
    let fingerprint = info.fingerprint
    let element = info.cacheElement.rawValue
    return try await onEngineThread { loop in
      PrefixPack.Identity(
        fingerprint: fingerprint,
        numerics: PrefixPack.Identity.currentNumerics,
        element: element,
        layers: loop.model.layers,
        imagePages: BlockLayout.imagePages(of: loop.model),
        pageBytes: loop.model.pageBytes
      )
    }
  }
}

extension EngineLoop {
  /// The state of a prompt that was just computed.
  func pack(
    _ prepared: PreparedRequest,
    identity: PrefixPack.Identity,
    tenant: String
  ) throws(EngineError) -> PrefixPack {
    let count = prepared.tokens.count / pageTokens * pageTokens
    var pack = PrefixPack(
      identity: identity,
      tokens: Array(prepared.tokens.prefix(count)),
      attendedImages: Array(prepared.attendedImages.prefix(count)),
      images: prepared.images.map(\.digest),
      blocks: [],
      imageBlocks: []
    )
    let keys = pack.keys(tenant: tenant)
    pack.blocks = try contents(of: keys.blocks)
    pack.imageBlocks = try contents(of: keys.images)
    return pack
  }

  private func contents(of keys: [ContentKey]) throws(EngineError) -> [[[UInt8]]] {
    var contents: [[[UInt8]]] = []
    for key in keys {
      guard let pages = scheduler.pages(of: key) else {
        throw .internalFailure(
          reason: "the prefix was displaced from the cache before it was saved"
        )
      }
      contents.append(pages.map { model.bytes(ofPage: $0) })
    }
    return contents
  }
}
