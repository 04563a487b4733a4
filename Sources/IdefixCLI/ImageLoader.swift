// Images that a user names: a path, a file: or data: URI, or a web address. Addresses are fetched under the server's
// rules: resolved once, private ones refused, size, time and redirects bounded. An address on the command line is the
// user's own word, so it may be private if it is numeric; one found in a file may not.

import Foundation
import Idefix
import IdefixServer

/// Reads or fetches images.
struct ImageLoader: Sendable {
  /// Where relative paths start; `nil`: the working folder.
  var folder: URL?
  /// Whether the names stand on the command line.
  var isTrusted = false

  /// The image that `source` names.
  func image(_ source: String) async throws -> ImageInput {
    switch source.prefix(while: { $0 != ":" }).lowercased() {
    case "data": .encoded(try Self.decode(source))
    case "http", "https": .encoded(try await fetch(source))
    case "file": .encoded(try UserFile.read(URL(string: source)?.path ?? source))
    default: .encoded(try UserFile.read(folder.map { Self.path(source, in: $0) } ?? source))
    }
  }

  private static func path(_ source: String, in folder: URL) -> String {
    URL(filePath: source, relativeTo: folder).path
  }

  private static func decode(_ source: String) throws -> [UInt8] {
    guard case .inline(let bytes)? = try? ImageSource(source) else {
      throw CommandFailure(.data, "A data: URI is not `data:TYPE;base64,DATA`.")
    }
    return bytes
  }

  private func fetch(_ source: String) async throws -> [UInt8] {
    do {
      let url = try ImageURL(source)
      var options = ServerOptions()
      options.imageHosts = ["*"].compactMap { ImageHostRule($0) }
      if isTrusted {
        let host = url.host.contains(":") ? "[\(url.host)]" : url.host
        options.imageHosts += ["\(host):\(url.port)"].compactMap { ImageHostRule($0) }
      }
      return try await ImageFetcher(options: options).fetch(url)
    } catch ServerError.validation(let reason) {
      throw CommandFailure(.noInput, "\(source): \(reason).")
    }
  }
}
