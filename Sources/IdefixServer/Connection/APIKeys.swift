// API keys: read from a file, kept as SHA-256 digests, compared in constant time. The digest also names
// the tenant, so that caches are never shared between keys.

import Crypto
import Foundation

/// The API keys a server accepts.
public struct APIKeys: Sendable {
  private var digests: [[UInt8]] = []

  /// No keys: the server is open.
  public init() {}

  /// Reads one key a line; blank lines and lines that begin with `#` are skipped.
  ///
  /// Throws ``APIKeyError`` if the file cannot be read or holds no key.
  public init(contentsOf path: String) throws {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw APIKeyError.unreadable(path: path)
    }
    let keys = String(decoding: data, as: UTF8.self)
      .split(whereSeparator: \.isNewline)
      .map { $0.trimmingCharacters(in: .whitespaces) }
      .filter { !$0.isEmpty && !$0.hasPrefix("#") }
    guard !keys.isEmpty else { throw APIKeyError.empty(path: path) }
    self.init(keys: keys)
  }

  /// Accepts these keys.
  public init(keys: [String]) { digests = keys.map(Self.digest) }

  /// Whether any key is asked for.
  public var isEmpty: Bool { digests.isEmpty }

  /// Everybody who may ask: a tenant a key, or the one tenant of a server without keys.
  package var tenants: [String] { digests.isEmpty ? [""] : digests.map(Self.tenant) }

  /// The tenant a key belongs to; `nil` if the key is not accepted.
  ///
  /// Digests of equal length are compared in full, against every key, whatever was found before.
  package func tenant(of key: String) -> String? {
    let candidate = Self.digest(key)
    var found: UInt8 = 0
    for digest in digests {
      var difference: UInt8 = 0
      for (left, right) in zip(digest, candidate) { difference |= left ^ right }
      found |= difference == 0 ? 1 : 0
    }
    guard found == 1 else { return nil }
    return Self.tenant(candidate)
  }

  private static func tenant(_ digest: [UInt8]) -> String {
    digest.prefix(16).map { String($0, radix: 16) }.joined(separator: "-")
  }

  private static func digest(_ key: String) -> [UInt8] {
    Array(SHA256.hash(data: Data(key.utf8)))
  }
}

/// Why API keys could not be read.
public enum APIKeyError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The file is missing or unreadable.
  case unreadable(path: String)
  /// The file holds no key.
  case empty(path: String)

  /// One plain sentence.
  public var description: String {
    switch self {
    case .unreadable(let path): "The API key file \(path) cannot be read."
    case .empty(let path): "The API key file \(path) holds no key."
    }
  }
}
