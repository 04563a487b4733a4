// Addresses that must never be asked, and what a fetch does at each hop.

import IdefixServer
import Synchronization
import Testing

/// Names with the addresses they resolve to; counts questions.
private final class FakeResolver: AddressResolver {
  let table: [String: [String]]
  let questions = Mutex<[String]>([])

  init(_ table: [String: [String]]) { self.table = table }

  func addresses(of host: String) async throws -> [NetworkAddress] {
    questions.withLock { $0.append(host) }
    return (table[host] ?? [host]).compactMap { NetworkAddress($0) }
  }
}

/// Replies by address; remembers who was dialled.
private final class FakeTransport: ImageTransport {
  let replies: [String: FetchReply]
  let dialled = Mutex<[String]>([])

  init(_ replies: [String: FetchReply]) { self.replies = replies }

  func get(_ url: ImageURL, at address: NetworkAddress, limit: Int) async throws -> FetchReply {
    dialled.withLock { $0.append("\(url.text) at \(address)") }
    if url.host == "slow.example" { try await Task.sleep(for: .seconds(60)) }
    return replies[url.text] ?? .body([1])
  }
}

@Suite struct ImageFetcherTests {
  private func fetcher(
    rules: [String],
    resolver: FakeResolver = FakeResolver([:]),
    transport: FakeTransport = FakeTransport([:])
  ) -> ImageFetcher {
    var options = ServerOptions()
    options.imageHosts = rules.compactMap { ImageHostRule($0) }
    options.fetchTimeout = .milliseconds(200)
    return ImageFetcher(options: options, resolver: resolver, transport: transport)
  }

  @Test func dialsTheAddressThatWasVetted() async throws {
    let resolver = FakeResolver(["pics.example": ["93.184.215.14"]])
    let transport = FakeTransport(["http://pics.example:80/a?b": .body([7])])
    let fetcher = fetcher(rules: ["pics.example"], resolver: resolver, transport: transport)
    #expect(try await fetcher.fetch(ImageURL("http://PICS.example/a?b#c")) == [7])
    #expect(
      transport.dialled.withLock { $0 } == ["http://pics.example:80/a?b at 93.184.215.14"]
    )
    #expect(resolver.questions.withLock { $0 } == ["pics.example"])
  }

  @Test(arguments: [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254",
    "0.0.0.0", "100.64.0.1", "224.0.0.1", "255.255.255.255", "198.18.0.1", "192.0.2.1",
    "::1", "::", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "fe80::1", "fc00::1",
    "fd12:3456::1", "ff02::1", "2001:db8::1", "2002:7f00:1::", "2001::1", "3fff::1",
  ])
  func refusesAddressesThatAreNotPublic(_ address: String) async throws {
    let parsed = try #require(NetworkAddress(address))
    #expect(!parsed.isPublic)
    let transport = FakeTransport([:])
    let resolver = FakeResolver(["rebound.example": ["8.8.8.8", address]])
    let fetcher = fetcher(rules: ["*"], resolver: resolver, transport: transport)
    await #expect(throws: ServerError.self) {
      try await fetcher.fetch(ImageURL("http://rebound.example/"))
    }
    #expect(transport.dialled.withLock { $0 }.isEmpty)
  }

  @Test(arguments: ["8.8.8.8", "172.32.0.1", "192.169.0.1", "2606:4700::1111", "2a00::1"])
  func acceptsPublicAddresses(_ address: String) throws {
    #expect(try #require(NetworkAddress(address)).isPublic)
  }

  @Test(arguments: [
    "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", "1.2.3.", "0x7f.0.0.1", "2130706433",
    ":::", "1::2::3", "12345::", "fe80::1%eth0", "1:2:3:4:5:6:7", "::1.2.3", "",
  ])
  func readsNoOtherNotation(_ text: String) { #expect(NetworkAddress(text) == nil) }

  @Test(arguments: [
    "http://user@pics.example/", "http://pics.example\\@evil.example/", "ftp://pics.example/",
    "http:pics.example", "http:///a", "http://pics.example:99999/", "http://pics.example:/",
    "http://pics .example/", "http://píx.example/", "http://[::1/", "http://[::1]x/",
    "http://pics.example:80:80/", "http://%31/", "http://pics.example/\n",
  ])
  func refusesOddAddresses(_ text: String) {
    #expect(throws: ServerError.self) { try ImageURL(text) }
  }

  @Test(arguments: [
    ("pics.example", "http://pics.example/", true), ("pics.example", "https://pics.example/", true),
    ("pics.example", "http://pics.example:8080/", false),
    ("pics.example:8080", "http://pics.example:8080/", true),
    ("pics.example", "http://evilpics.example/", false),
    ("*.example", "http://a.b.example/", true), ("*.example", "http://example/", false),
    ("*.example", "http://aexample/", false), ("*", "https://anything.test/", true),
    ("[2a00::1]:81", "http://[2a00::1]:81/", true),
  ])
  func rulesNameHostsAndPorts(_ rule: String, _ url: String, _ allowed: Bool) throws {
    #expect(try #require(ImageHostRule(rule)).allows(try ImageURL(url)) == allowed)
  }

  @Test(arguments: ["", "a b", "host:port", "host:0", "host:70000", "http://x"])
  func refusesRulesThatAreNone(_ rule: String) { #expect(ImageHostRule(rule) == nil) }

  @Test func aPrivateAddressNeedsARuleOfItsOwn() async throws {
    let named = fetcher(rules: ["127.0.0.1:8000"])
    #expect(try await named.fetch(ImageURL("http://127.0.0.1:8000/a")) == [1])
    // A name that points there is still refused, whatever the rule.
    let resolver = FakeResolver(["localhost": ["127.0.0.1"]])
    let byName = fetcher(rules: ["localhost:8000", "127.0.0.1:8000"], resolver: resolver)
    await #expect(throws: ServerError.self) {
      try await byName.fetch(ImageURL("http://localhost:8000/a"))
    }
  }

  @Test func vetsEveryRedirect() async throws {
    let transport = FakeTransport([
      "http://a.example:80/": .redirect("/next"),
      "http://a.example:80/next": .redirect("http://169.254.169.254/latest"),
    ])
    let resolver = FakeResolver(["a.example": ["8.8.8.8"]])
    let fetcher = fetcher(rules: ["*"], resolver: resolver, transport: transport)
    await #expect(throws: ServerError.self) {
      try await fetcher.fetch(ImageURL("http://a.example/"))
    }
    #expect(transport.dialled.withLock { $0.count } == 2)
  }

  @Test func givesUpAfterThreeRedirects() async throws {
    let transport = FakeTransport(["http://a.example:80/": .redirect("/")])
    let resolver = FakeResolver(["a.example": ["8.8.8.8"]])
    let fetcher = fetcher(rules: ["*"], resolver: resolver, transport: transport)
    await #expect(throws: ServerError.self) {
      try await fetcher.fetch(ImageURL("http://a.example/"))
    }
    #expect(transport.dialled.withLock { $0.count } == 4)
  }

  @Test func givesUpOnSlowHosts() async throws {
    let resolver = FakeResolver(["slow.example": ["8.8.8.8"]])
    let fetcher = fetcher(rules: ["*"], resolver: resolver)
    await #expect(
      throws: ServerError.validation("Could not fetch image: the host took too long")
    ) {
      try await fetcher.fetch(ImageURL("http://slow.example/"))
    }
  }

  @Test func asksNobodyUnlessAllowed() async throws {
    let resolver = FakeResolver([:])
    await #expect(
      throws: ServerError.validation("Could not fetch image: this server does not fetch images")
    ) {
      try await fetcher(rules: [], resolver: resolver).fetch(ImageURL("http://a.example/"))
    }
    #expect(resolver.questions.withLock { $0 }.isEmpty)
  }
}
