// What a request may name as an image: inline data or a web address, nothing of this machine.

import IdefixServer
import Testing

@Suite struct ImageSourceTests {
  @Test(arguments: ["file:///etc/passwd", "/etc/passwd", "gopher://x", "", "javascript:1", "a.png"])
  func refusesOtherAddresses(_ address: String) {
    #expect(throws: ServerError.self) { try ImageSource(address) }
  }

  @Test(
    arguments: [
      ("data:image/png;base64,AAEC", [0, 1, 2]), ("DATA:;base64,AA==", [0]),
    ] as [(String, [UInt8])]
  )
  func decodesDataURIs(_ address: String, _ bytes: [UInt8]) throws {
    #expect(try ImageSource(address) == .inline(bytes))
  }

  @Test(arguments: [
    "data:image/png;base64,", "data:image/png;base64,A", "data:image/png;base64,A*==",
    "data:image/png,AAEC", "data:image/png;charset=x;base64,AAEC", "data:",
  ])
  func refusesMalformedDataURIs(_ address: String) {
    #expect(throws: ServerError.self) { try ImageSource(address) }
  }
}
