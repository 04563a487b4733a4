// A strict reading of http(s) addresses: one grammar for the check and for the request, so that no second
// parser can see another host. Refuses user info, backslashes, controls, odd ports and non-ASCII hosts.

/// An http(s) address whose parts were checked.
package struct ImageURL: Sendable, Equatable {
  /// `http` or `https`.
  package var scheme: String
  /// Host in lower case, brackets of an IPv6 literal removed.
  package var host: String
  /// Port, given or the scheme's.
  package var port: Int
  /// Path and query, beginning with a slash.
  package var target: String

  /// Longest address accepted.
  static let maximumLength = 4096

  /// Checks an absolute address.
  package init(_ text: String) throws(ServerError) {
    guard text.utf8.count <= Self.maximumLength else { throw Self.refusal("it is too long") }
    guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\\") }) else {
      throw Self.refusal("it has characters that an address cannot have")
    }
    guard let colon = text.firstIndex(of: ":") else { throw Self.refusal("it has no scheme") }
    scheme = text[..<colon].lowercased()
    guard scheme == "http" || scheme == "https" else {
      throw Self.refusal("only http and https are accepted")
    }
    let rest = text[text.index(after: colon)...]
    guard rest.hasPrefix("//") else { throw Self.refusal("it has no host") }
    let afterSlashes = rest.dropFirst(2)
    let authority = afterSlashes.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
    guard !authority.contains("@") else { throw Self.refusal("it has user info") }
    (host, port) = try Self.parse(
      authority: authority,
      defaultPort: scheme == "https" ? 443 : 80
    )
    let path = afterSlashes[authority.endIndex...].prefix { $0 != "#" }
    target = path.hasPrefix("/") ? String(path) : "/" + path
  }

  /// The address this location header leads to; only absolute addresses and absolute paths are followed.
  package func redirected(to location: String) throws(ServerError) -> ImageURL {
    guard location.hasPrefix("/"), !location.hasPrefix("//") else {
      return try ImageURL(location)
    }
    return try ImageURL("\(scheme)://\(authority)\(location)")
  }

  /// Host and port as they stand in an address.
  var authority: String { (host.contains(":") ? "[\(host)]" : host) + ":\(port)" }

  /// The whole address.
  package var text: String { "\(scheme)://\(authority)\(target)" }

  private static func parse(
    authority: Substring,
    defaultPort: Int
  ) throws(ServerError) -> (host: String, port: Int) {
    var host = authority
    var portText: Substring?
    if authority.hasPrefix("[") {
      guard let end = authority.firstIndex(of: "]") else { throw refusal("its host is malformed") }
      host = authority[authority.index(after: authority.startIndex)..<end]
      let after = authority[authority.index(after: end)...]
      guard after.isEmpty || after.hasPrefix(":") else { throw refusal("its host is malformed") }
      portText = after.isEmpty ? nil : after.dropFirst()
      guard !host.isEmpty, host.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else {
        throw refusal("its host is malformed")
      }
    } else {
      if let colon = authority.firstIndex(of: ":") {
        host = authority[..<colon]
        portText = authority[authority.index(after: colon)...]
      }
      let allowed = { (character: Character) in
        character.isASCII && (character.isLetter || character.isNumber || "-._".contains(character))
      }
      guard !host.isEmpty, host.count <= 253, host.allSatisfy(allowed) else {
        throw refusal("its host is malformed")
      }
    }
    guard let portText else { return (host.lowercased(), defaultPort) }
    guard portText.count <= 5, portText.allSatisfy({ "0"..."9" ~= $0 }),
      let port = Int(portText), (1...65535).contains(port)
    else { throw refusal("its port is malformed") }
    return (host.lowercased(), port)
  }

  private static func refusal(_ reason: String) -> ServerError {
    .validation("Could not fetch image: the address is refused, \(reason)")
  }
}

/// A host that images may be fetched from: `example.org`, `*.example.org`, `*` or `192.0.2.1:8000`.
public struct ImageHostRule: Sendable, Equatable, CustomStringConvertible {
  /// Host in lower case without the port; may begin with `*`.
  let host: String
  /// The only port allowed; `nil`: 80 and 443.
  let port: Int?

  /// Reads a rule; `nil` if it is none.
  public init?(_ text: String) {
    var host = text.lowercased()
    var port: Int?
    if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
      let after = host[host.index(after: end)...]
      if after.hasPrefix(":") { port = Int(after.dropFirst()) }
      guard after.isEmpty || port != nil else { return nil }
      host = String(host[host.index(after: host.startIndex)..<end])
    } else if let colon = host.firstIndex(of: ":"), colon == host.lastIndex(of: ":") {
      port = Int(host[host.index(after: colon)...])
      guard port != nil else { return nil }
      host = String(host[..<colon])
    }
    if let port, !(1...65535).contains(port) { return nil }
    guard !host.isEmpty, host.allSatisfy({ $0.isASCII && !$0.isWhitespace && $0 != "/" }) else {
      return nil
    }
    self.host = host
    self.port = port
  }

  /// The rule as it is written.
  public var description: String {
    (host.contains(":") ? "[\(host)]" : host) + (port.map { ":\($0)" } ?? "")
  }

  /// Whether the rule allows this address's host and port.
  package func allows(_ url: ImageURL) -> Bool {
    guard port.map({ $0 == url.port }) ?? (url.port == 80 || url.port == 443) else { return false }
    if host == "*" { return true }
    return host.hasPrefix("*.") ? url.host.hasSuffix(host.dropFirst()) : host == url.host
  }

  /// Whether the operator wrote this very host, so that it may be a private address.
  ///
  /// Only a numeric address counts: a name could be made to point anywhere.
  func names(_ address: NetworkAddress, of url: ImageURL) -> Bool {
    host == url.host && NetworkAddress(host) == address
  }
}
