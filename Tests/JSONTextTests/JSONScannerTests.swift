// The strict JSON reader: what it accepts, what it refuses, and that depth and size cost nothing.

import JSONText
import Testing

@Suite struct JSONScannerTests {
  private func parse(_ text: String) throws -> JSONValue {
    try JSONValue(parsing: Array(text.utf8))
  }

  @Test func readsValues() throws {
    let value = try parse(
      #" {"a": [1, -2, 2.5e1, 0.5], "b": {"c": true, "d": null}, "e": "x\n\u00e9\ud83d\ude00\/"} "#
    )
    #expect(value["a"] == .array([.integer(1), .integer(-2), .number(25), .number(0.5)]))
    #expect(value["b"]?["c"]?.bool == true)
    #expect(value["b"]?["d"] == .null)
    #expect(value["e"]?.string == "x\né😀/")
    #expect(try parse("[]") == .array([]) && parse("{}") == .object([:]))
    #expect(try parse("9223372036854775808").double == 9_223_372_036_854_775_808)
  }

  @Test(arguments: [
    "", " ", "{", "}", "[1,]", "{\"a\":1,}", "{\"a\" 1}", "{a:1}", "[1 2]", "01", "+1", "-", "1.",
    ".5", "1e", "1e400", "nul", "tru", "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\udc00x\"",
    "\"\\ud800\\u0041\"", "\"a\nb\"", "1 1", "{\"a\":1,\"a\":1}", "NaN", "Infinity", "'a'",
    "[1]/**/",
    "\u{feff}{}",
  ])
  func refuses(_ text: String) {
    #expect(throws: JSONError.self) { try parse(text) }
  }

  @Test func refusesInvalidUTF8() {
    for bytes in [[0x22, 0xc0, 0x80, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0x22, 0xff, 0x22]] {
      #expect(throws: JSONError.self) { try JSONValue(parsing: bytes.map(UInt8.init)) }
    }
  }

  @Test func boundsDepth() throws {
    func nested(_ depth: Int) -> String {
      String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
    }
    _ = try parse(nested(JSONScanner.maximumDepth))
    for depth in [JSONScanner.maximumDepth + 1, 1_000_000] {
      #expect(throws: JSONError.self) { try parse(nested(depth)) }
    }
  }
}
