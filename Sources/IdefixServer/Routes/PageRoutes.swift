// The web page at `/ui`: one self-contained document, compiled into the program. Its policy lets it load
// nothing and talk to nobody but this server.

import Crypto
import Foundation
import Hummingbird

/// The web page, and `/` for browsers that look for it.
struct PageRoutes: Sendable {
  private let document: ByteBuffer
  private let policy: String

  init() {
    let style = String(decoding: PackageResources.page_css, as: UTF8.self)
    let script = String(decoding: PackageResources.page_js, as: UTF8.self)
    let markup = String(decoding: PackageResources.page_html, as: UTF8.self)
      .replacingOccurrences(of: "/*STYLE*/", with: style)
      .replacingOccurrences(of: "/*SCRIPT*/", with: script)
    document = ByteBuffer(string: markup)
    policy = [
      "default-src 'none'", "script-src 'sha256-\(Self.digest(script))'",
      "style-src 'sha256-\(Self.digest(style))'", "img-src 'self' data: blob:",
      "connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
    ].joined(separator: "; ")
  }

  func add(to router: Router<RequestScope>) {
    router.get("/ui") { _, _ in
      var headers: HTTPFields = [.contentType: "text/html; charset=utf-8"]
      headers[.contentSecurityPolicy] = policy
      headers[.xContentTypeOptions] = "nosniff"
      headers[.cacheControl] = "no-cache"
      headers.set("referrer-policy", "no-referrer")
      return Response(status: .ok, headers: headers, body: .init(byteBuffer: document))
    }
    router.get("/") { request, _ in
      // A browser wants the page; a monitor wants the health.
      guard request.headers[.accept]?.contains("text/html") == true else {
        return Response(status: .ok)
      }
      return Response(status: .seeOther, headers: [.location: "/ui"])
    }
  }

  private static func digest(_ text: String) -> String {
    Data(SHA256.hash(data: Data(text.utf8))).base64EncodedString()
  }
}
