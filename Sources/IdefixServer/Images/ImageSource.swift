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
  package init(_ text: some StringProtocol) throws(ServerError) {
    let scheme = text.prefix { $0 != ":" }.lowercased()
    switch scheme {
    case "data": self = .inline(try Self.decodeDataURI(text))
    case "http", "https": self = .remote(try ImageURL(String(text)))
    default:
      throw .validation("invalid image content: only data: URIs and http(s) addresses are accepted")
    }
  }

  private static func decodeDataURI(_ text: some StringProtocol) throws(ServerError) -> [UInt8] {
    let fields = text.split(separator: ";", omittingEmptySubsequences: false)
    guard fields.count == 2, fields[1].hasPrefix("base64,") else {
      throw .validation("invalid image content: expected `data:MIME;base64,DATA`")
    }
    let payload = fields[1].dropFirst("base64,".count)
    guard !payload.isEmpty, let data = Data(base64Encoded: String(payload)) else {
      throw .validation("base64 encoding is invalid: not a base64 text with padding")
    }
    return [UInt8](data)
  }
}
