// Prefixes on disk: compute once, keep as a file, start warm. One block at a time goes between file and cache, so that
// neither memory nor running streams notice.

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
  ///   - tenant: Whose cached state is used, and left behind for the requests that follow; `nil`: nobody's.
  /// - Returns: What the file holds.
  /// - Throws: An ``EngineError``, or what the file system said.
  public func savePrefix(
    _ prompt: Prompt,
    to path: String,
    tenant: String? = nil
  ) async throws -> PrefixPackInfo {
    let tenant = tenant ?? "prefix pack \(UUID().uuidString)"
    let prepared = try await warm(prompt, tenant: tenant)
    let pack = PrefixPack(prepared, identity: try await packIdentity())
    let writer = try PrefixPackWriter(pack, path: path)
    for key in pack.keys(tenant: salt(tenant)) {
      try Task.checkCancellation()
      try writer.append(try await onEngineThread { try $0.contents(of: key) })
    }
    return PrefixPackInfo(
      tokens: pack.tokens.count,
      images: pack.images.count,
      bytes: try writer.finish()
    )
  }

  /// Loads a prefix pack into the cache: requests that begin like it compute only what follows.
  ///
  /// The state is kept like that of recent requests: as long as there is room.
  ///
  /// - Parameters:
  ///   - path: A file that ``savePrefix(_:to:tenant:)`` wrote with the same model and cache type.
  ///   - tenant: Whose requests may use it, as in ``GenerationRequest/tenant``.
  /// - Returns: What the file holds.
  /// - Throws: ``EngineError/invalidPrefixPack(reason:)`` for a file that is damaged or belongs to
  ///   another model, or what the file system said.
  public func loadPrefix(from path: String, tenant: String = "") async throws -> PrefixPackInfo {
    let reader = try PrefixPackReader(path: path, expecting: try await packIdentity())
    let needed = reader.pack.pageCounts.reduce(0, +)
    let capacity = try await onEngineThread { $0.model.pages }
    guard needed <= capacity else {
      throw EngineError.outOfPages(needed: needed, available: capacity)
    }
    var held: [BlockID] = []
    var failure: (any Error)?
    do {
      for key in reader.pack.keys(tenant: salt(tenant)) {
        try Task.checkCancellation()
        guard let pages = try reader.next() else { break }
        held.append(try await onEngineThread { try $0.scheduler.restore(key, pages: pages) })
      }
    } catch {
      failure = error
    }
    // Blocks are held until all are there, or the last would displace the first.
    let blocks = held
    try await onEngineThread { $0.scheduler.release(blocks) }
    if let failure { throw failure }
    return PrefixPackInfo(
      tokens: reader.pack.tokens.count,
      images: reader.pack.images.count,
      bytes: reader.size
    )
  }

  private func packIdentity() async throws -> PrefixPack.Identity {
    let fingerprint = info.fingerprint
    let element = info.cacheElement.rawValue
    return try await onEngineThread { loop in
      PrefixPack.Identity(
        fingerprint: fingerprint,
        element: element,
        layers: loop.model.layers,
        imagePages: BlockLayout.imagePages(of: loop.model),
        pageBytes: loop.model.pageBytes
      )
    }
  }
}

extension EngineLoop {
  /// The bytes of the pages of a named block.
  func contents(of key: ContentKey) throws(EngineError) -> [[UInt8]] {
    guard let pages = scheduler.pages(of: key) else {
      throw .internalFailure(reason: "the prefix was displaced from the cache before it was saved")
    }
    return pages.map { model.bytes(ofPage: $0) }
  }
}
