// IP addresses as bytes, and which of them are on the public internet. Everything that is not plainly
// public is refused: loopback, private, link-local, carrier NAT, multicast, mapped and translated forms.

/// An IPv4 or IPv6 address.
package struct NetworkAddress: Sendable, Equatable, Hashable, CustomStringConvertible {
  /// 4 or 16 bytes in network order.
  package let bytes: [UInt8]

  /// Reads dotted decimal (four parts, no leading zeros) or IPv6 notation; `nil` for anything else.
  package init?(_ text: some StringProtocol) {
    guard let bytes = Self.parseV4(text) ?? Self.parseV6(text) else { return nil }
    self.bytes = bytes
  }

  /// Whether this is a globally routable unicast address.
  package var isPublic: Bool {
    bytes.count == 4 ? Self.isPublicV4(bytes) : Self.isPublicV6(bytes)
  }

  package var description: String {
    if bytes.count == 4 { return bytes.map(String.init).joined(separator: ".") }
    return stride(from: 0, to: 16, by: 2)
      .map { String(Int(bytes[$0]) << 8 | Int(bytes[$0 + 1]), radix: 16) }
      .joined(separator: ":")
  }

  /// IPv4 special-purpose registry (IANA): prefix and length.
  private static let specialV4: [(prefix: UInt32, length: UInt32)] = [
    (0x0000_0000, 8), (0x0a00_0000, 8), (0x6440_0000, 10), (0x7f00_0000, 8), (0xa9fe_0000, 16),
    (0xac10_0000, 12), (0xc000_0000, 24), (0xc000_0200, 24), (0xc058_6300, 24),
    (0xc0a8_0000, 16), (0xc612_0000, 15), (0xc633_6400, 24), (0xcb00_7100, 24),
    (0xe000_0000, 4), (0xf000_0000, 4),
  ]

  private static func isPublicV4(_ bytes: [UInt8]) -> Bool {
    let value = bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    return !specialV4.contains { value >> (32 - $0.length) == $0.prefix >> (32 - $0.length) }
  }

  /// Global unicast is 2000::/3; of that, 2001::/23 (Teredo and others), 2001:db8::/32, 2002::/16 (6to4)
  /// and 3fff::/20 (documentation) lead elsewhere.
  private static func isPublicV6(_ bytes: [UInt8]) -> Bool {
    let high = bytes[..<4].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
    guard high >> 29 == 1 else { return false }
    return high >> 9 != 0x2001_0000 >> 9 && high != 0x2001_0db8 && high >> 16 != 0x2002
      && high >> 12 != 0x3fff_0000 >> 12
  }

  private static func parseV4(_ text: some StringProtocol) -> [UInt8]? {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4 else { return nil }
    var bytes: [UInt8] = []
    for part in parts {
      guard (1...3).contains(part.count), part.allSatisfy({ "0"..."9" ~= $0 }),
        part.count == 1 || part.first != "0", let byte = UInt8(part)
      else { return nil }
      bytes.append(byte)
    }
    return bytes
  }

  private static func parseV6(_ text: some StringProtocol) -> [UInt8]? {
    // A zone (`%eth0`) belongs to a link and is no part of a public address.
    let halves = text.components(separatedByDoubleColon: ())
    guard halves.count <= 2, let head = groups(halves[0]) else { return nil }
    guard halves.count == 2 else { return head.count == 16 ? head : nil }
    guard let tail = groups(halves[1]), head.count + tail.count <= 14 else { return nil }
    return head + [UInt8](repeating: 0, count: 16 - head.count - tail.count) + tail
  }

  /// Bytes of colon-separated groups; the last may be dotted decimal.
  private static func groups(_ text: String) -> [UInt8]? {
    guard !text.isEmpty else { return [] }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    var bytes: [UInt8] = []
    for (index, part) in parts.enumerated() {
      if index == parts.count - 1, part.contains(".") {
        guard let tail = parseV4(part) else { return nil }
        bytes += tail
      } else {
        guard (1...4).contains(part.count), part.allSatisfy(\.isHexDigit),
          let value = UInt16(part, radix: 16)
        else { return nil }
        bytes += [UInt8(value >> 8), UInt8(value & 0xff)]
      }
    }
    return bytes.count <= 16 ? bytes : nil
  }
}

extension StringProtocol {
  /// The parts between `::`; three or more parts mean that it occurs twice.
  fileprivate func components(separatedByDoubleColon: Void) -> [String] {
    var parts: [String] = [""]
    var index = startIndex
    while index < endIndex {
      let next = self.index(after: index)
      if self[index] == ":", next < endIndex, self[next] == ":" {
        parts.append("")
        index = self.index(after: next)
      } else {
        parts[parts.count - 1].append(self[index])
        index = next
      }
    }
    return parts
  }
}
