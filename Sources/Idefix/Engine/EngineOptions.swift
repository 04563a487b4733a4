// How an engine is set up. Zero or nil means: decide from the machine and the model.

/// Storage of cached keys and values.
public enum CacheElement: String, Sendable, CaseIterable {
  /// Exact; twice the memory of f16.
  case f32
  /// The default.
  case f16
  /// Half the memory of f16.
  case int8
}

/// Limits and resources of an engine.
public struct EngineOptions: Sendable {
  /// Instruction set by its command-line name (`portable`, `avx2`, `avxvnni`, `avx512vnni`, `neon`); `nil`: the best.
  public var isa: String?
  /// Threads of the kernels; `nil`: physical cores this process may use.
  public var threads: Int?
  /// Ceiling on resident memory in bytes; `nil`: none.
  public var memory: Int?
  /// Tokens a sequence may have, prompt and answer; `nil`: the model's positions.
  public var contextTokens: Int?
  /// Sequences computed together.
  public var maxSequences = 16
  /// Requests that may wait; more are refused as overloaded.
  public var maxWaiting = 128
  /// Tokens one pass over the weights may carry.
  public var tokensPerStep = 256
  /// Bytes for cached keys and values.
  ///
  /// `nil`: from `memory`, else enough for `maxSequences` contexts within a quarter of the machine.
  public var cacheBytes: Int?
  /// Storage of cached keys and values.
  public var cacheElement = CacheElement.f16
  /// Images a prompt may have.
  public var maxImages = 32
  /// Pixels an image file may have before it is decoded.
  public var maxImagePixels = 64 << 20
  /// Whether finished prefixes stay in the cache while there is room.
  public var prefixCache = true
  /// Whether tenants share cached prefixes and images, which lets one time what another asked.
  public var sharesCacheAcrossTenants = false

  /// Whether pages are made unreadable before they are given out, for tests.
  package var poisonsPages = false

  /// The defaults.
  public init() {}
}
