// Where a client says an image is: a data URI, decoded here, or a web address, fetched elsewhere. Refuses
// file paths, other schemes and malformed base64. Error texts are those of text-generation-inference.

import Foundation

/// An image as a request names it.
package enum ImageSource: Sendable, Equatable {
  /// The bytes of an image file.
  case inline([UInt8])
  /// An address to fetch.
  case remote(ImageURL)

  /// Reads `data:MIME;base64,DATA` or an http(s) address.
  package init(_ text: String) throws(ServerError) {
    // A data URI has millions of characters: bytes are looked at, not characters.
    let scheme = Substring(text.utf8.prefix(8).prefix { $0 != UInt8(ascii: ":") }).lowercased()
    switch scheme {
    case "data": self = .inline(try Self.decodeDataURI(text.utf8))
    case "http", "https": self = .remote(try ImageURL(text))
    default:
      throw .validation("invalid image content: only data: URIs and http(s) addresses are accepted")
    }
  }

  private static func decodeDataURI(_ text: String.UTF8View) throws(ServerError) -> [UInt8] {
    let fields = text.split(
      separator: UInt8(ascii: ";"),
      maxSplits: 2,
      omittingEmptySubsequences: false
    )
    let lead = "base64,".utf8
    guard fields.count == 2, fields[1].starts(with: lead) else {
      throw .validation("invalid image content: expected `data:MIME;base64,DATA`")
    }
    let payload = fields[1].dropFirst(lead.count)
    guard !payload.isEmpty, let data = Data(base64Encoded: Data(payload)) else {
      throw .validation("base64 encoding is invalid: not a base64 text with padding")
    }
    return [UInt8](data)
  }
}
