import Foundation
import TestSupport
import Testing

/// What `run` and `chat` take: images from the web, prefixes kept on disk, lines from a pipe.
@Suite(.serialized) struct PromptInputTests {
  private let folder: TemporaryFolder
  private var model: String { folder("model.idfx") }
  private let image = Fixture.url("images/photo_q75_420.jpg")

  init() throws {
    folder = try TemporaryFolder()
    let run = try IdefixProcess.run([
      "convert", Fixture.url("models/micro").path, "-o", folder("model.idfx"), "--recipe", "q8",
    ])
    #expect(run.status == 0, "\(run.errors)")
  }

  private func ask(_ arguments: String...) throws -> IdefixProcess {
    try IdefixProcess.run(["run", model, "--max-tokens", "8", "--json"] + arguments)
  }

  private func messages(_ image: String, _ text: String) throws -> String {
    let content: [[String: Any]] = [
      ["type": "image_url", "image_url": ["url": image]], ["type": "text", "text": text],
    ]
    let json = try JSONSerialization.data(
      withJSONObject: [["role": "user", "content": content]]
    )
    return try folder.write(Array(json), to: "\(UUID().uuidString).json")
  }

  @Test func anImageOnTheCommandLineMayBeAWebAddress() throws {
    let server = try LoopbackServer(Array(Data(contentsOf: image)))
    let address = "http://127.0.0.1:\(server.port)/picture"
    let local = try ask("--image", image.path, "What is this?").json()
    let fetched = try ask("--image", address, "What is this?")
    #expect(fetched.status == 0, "\(fetched.errors)")
    #expect(try fetched.json()["tokens"] as? [Int] == local["tokens"] as? [Int])
    // The same address in a file may be somebody else's idea.
    let written = try ask("--messages", try messages(address, "What is this?"))
    #expect(written.status == 66 && written.output.isEmpty)
    #expect(written.errors.contains(address) && written.errors.contains("not allowed"))
    let named = try ask("--image", "http://localhost:\(server.port)/picture", "What is this?")
    #expect(named.status == 66, "a name may lead anywhere")
  }

  @Test func aKeptPrefixGivesTheSameAnswer() throws {
    let shots = try messages(image.path, "A picture. " + String(repeating: "One more. ", count: 9))
    let plain = try ask("--messages", shots)
    let saved = try ask("--messages", shots, "--save-prefix", folder("shots.pack"))
    #expect(saved.status == 0, "\(saved.errors)")
    #expect(saved.errors.contains("1 images"))
    let loaded = try ask("--messages", shots, "--prefix-pack", folder("shots.pack"))
    let tokens = try plain.json()["tokens"] as? [Int]
    #expect(try tokens != nil && saved.json()["tokens"] as? [Int] == tokens)
    #expect(try loaded.json()["tokens"] as? [Int] == tokens)
    let timings = try loaded.json()["timings"] as? [String: Double]
    #expect(timings?["vision_ms"] == 0, "the image was encoded again")
    let attributes = try FileManager.default.attributesOfItem(atPath: folder("shots.pack"))
    #expect(attributes[.posixPermissions] as? Int == 0o600)

    let other = try ask(
      "--messages",
      shots,
      "--prefix-pack",
      folder("shots.pack"),
      "--kv",
      "int8"
    )
    #expect(other.status == 65 && other.errors.contains("shots.pack"))
    var bytes = try folder.read("shots.pack")
    bytes[bytes.count / 2] ^= 1
    try folder.write(bytes, to: "damaged.pack")
    let damaged = try ask("--messages", shots, "--prefix-pack", folder("damaged.pack"))
    #expect(damaged.status == 65 && damaged.errors.contains("damaged"))
    #expect(try ask("hello", "--prefix-pack", folder("none.pack")).status == 66)
    let served = try IdefixProcess.run([
      "serve", model, "--port", "0", "--prefix-pack", folder("damaged.pack"),
    ])
    #expect(served.status == 65 && served.errors.contains("damaged.pack"))
    // A path with commas is one path.
    try folder.write(bytes, to: "a, b.pack")
    let settings = ["prefix-pack": [folder("a, b.pack")]]
    try folder.write(Array(try JSONEncoder().encode(settings)), to: "settings.json")
    for option in [["--prefix-pack", folder("a, b.pack")], ["--config", folder("settings.json")]] {
      let parted = try IdefixProcess.run(["serve", model, "--port", "0"] + option)
      #expect(parted.status == 65 && parted.errors.contains("a, b.pack is no prefix pack"))
      let printed = try IdefixProcess.run(["serve", "--print-config"] + option)
      #expect(try printed.json()["prefix-pack"] as? [String] == [folder("a, b.pack")])
    }
    #expect(try ask("hello", "--save-prefix", folder("none/a.pack")).status == 74)

    // A server that finds its port taken has kept its prefix before.
    let taken = try LoopbackServer([])
    let keeping = try IdefixProcess.run([
      "serve", model, "--port", "\(taken.port)", "--prefix", shots, "--save-prefix",
      folder("served.pack"),
    ])
    #expect(keeping.status == 69, "\(keeping.errors)")
    #expect(try folder.read("served.pack") == folder.read("shots.pack"))
    #expect(try IdefixProcess.run(["serve", model, "--prefix", shots]).status == 64)
  }

  @Test func aBatchKeepsAndTakesItsPrefix() throws {
    let prefix = try messages(image.path, String(repeating: "One more. ", count: 9))
    let row = #"{"messages":[{"role":"user","content":"What is this?"}],"max_tokens":4}"#
    try folder.write(Array(row.utf8), to: "rows.jsonl")
    func batch(_ output: String, _ arguments: String...) throws -> [String: Any] {
      let run = try IdefixProcess.run(
        ["batch", model, "--input", folder("rows.jsonl"), "--output", folder(output), "--prefix"]
          + [prefix] + arguments
      )
      #expect(run.status == 0, "\(run.errors)")
      let line = try JSONSerialization.jsonObject(with: Data(folder.read(output)))
      return line as? [String: Any] ?? [:]
    }
    let plain = try batch("a.jsonl")
    let saved = try batch("b.jsonl", "--save-prefix", folder("b.pack"))
    let loaded = try batch("c.jsonl", "--prefix-pack", folder("b.pack"))
    #expect(plain["text"] as? String == saved["text"] as? String)
    #expect(plain["text"] as? String == loaded["text"] as? String)
    #expect(plain["cached_tokens"] as? Int == 0)
    #expect(loaded["cached_tokens"] as? Int ?? 0 >= 16)
  }

  @Test func whatIsWrongIsSaidBeforeTheModelIsLoaded() throws {
    let junk = try folder.write(Array("junk".utf8), to: "junk.idfx")
    let missing = try IdefixProcess.run(["run", junk, "--image", "no-such.png", "x"])
    #expect(missing.status == 66 && missing.errors.contains("no-such.png"))
    let broken = try IdefixProcess.run(["run", junk, "x"])
    #expect(broken.status == 65)
    #expect(
      broken.errors == "error: \(junk) cannot be used: it is no .idfx file: only 4 bytes long.\n"
    )
    #expect(try IdefixProcess.run(["run", "--isa", "sse", "x"]).status == 64)
    let cold = try ask("--temperature", "-1", "x")
    #expect(cold.status == 64 && cold.errors.contains("`temperature` must be 0 or more"))
  }

  @Test func aChatReadsAPipe() throws {
    let chat = try IdefixProcess.run(
      ["chat", model, "--quiet", "--max-tokens", "6"],
      environment: ["XDG_STATE_HOME": folder.path],
      input: """
        /image \(image.path)
        What is this?
        /image \(folder("model.idfx"))
        /nonsense
        /save \(folder("chat.json"))
        """
    )
    #expect(chat.status == 0, "\(chat.errors)")
    #expect(chat.errors.contains("model.idfx: ") && chat.errors.contains("/nonsense"))
    #expect(!chat.errors.contains("\u{1b}"))
    // What was kept asks the same again.
    let kept = try JSONSerialization.jsonObject(with: Data(folder.read("chat.json")))
    let turns = try #require(kept as? [[String: Any]])
    #expect(turns.map { $0["role"] as? String } == ["user", "assistant"])
    let question = try JSONSerialization.data(withJSONObject: [turns[0]])
    let again = try IdefixProcess.run([
      "run", model, "--messages", try folder.write(Array(question), to: "question.json"),
      "--max-tokens", "6",
    ])
    #expect(again.output == chat.output)
  }
}
