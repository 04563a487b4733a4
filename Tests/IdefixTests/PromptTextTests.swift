import Idefix
import Testing

@Suite struct PromptTextTests {
  @Test(
    arguments: [
      ("plain", [.text("plain")]),
      ("", []),
      ("![](a.png)", [.image("a.png")]),
      ("User:![](a)![](b) two", [.text("User:"), .image("a"), .image("b"), .text(" two")]),
      ("![alt](a)", [.text("![alt](a)")]),
      ("![]( a(1).png)", [.image(" a(1"), .text(".png)")]),
      ("![](open", [.text("![](open")]),
      ("![](![](x)é", [.image("![](x"), .text("é")]),
      ("![]()", [.image("")]),
    ] as [(String, [MarkdownPrompt.Piece])]
  )
  func markdownIsSplitAtImages(text: String, pieces: [MarkdownPrompt.Piece]) {
    #expect(MarkdownPrompt.pieces(of: text) == pieces)
  }

  @Test func markdownTakesLinearTime() {
    let text = String(repeating: "![](", count: 100_000)
    #expect(MarkdownPrompt.pieces(of: text) == [.text(text)])
    #expect(MarkdownPrompt.pieces(of: text + ")").count == 1)
  }

  private func load(_ reference: String) -> ImageInput { .encoded(Array(reference.utf8)) }

  @Test func chatMessagesAreRead() async throws {
    let json = """
      [{"role":"system","content":"Be brief."},
       {"role":"user","name":null,"content":[{"type":"text","text":"What?"},
        {"type":"image_url","image_url":{"url":"a.png","detail":"low"}}]}]
      """
    let messages = [
      ChatMessage(role: .system, text: "Be brief."),
      ChatMessage(role: .user, content: [.text("What?"), .image(load("a.png"))]),
    ]
    #expect(try await PromptJSON.prompt(from: Array(json.utf8), image: load) == .chat(messages))
    let wrapped = Array("{\"messages\":\(json)}".utf8)
    #expect(try await PromptJSON.prompt(from: wrapped, image: load) == .chat(messages))
  }

  @Test func rawPromptsAreRead() async throws {
    let json = #"{"prompt":[{"image":"b.jpg"},{"text":"Caption:"}]}"#
    #expect(
      try await PromptJSON.prompt(from: Array(json.utf8), image: load)
        == .interleaved([.image(load("b.jpg")), .text("Caption:")])
    )
  }

  @Test(arguments: [
    "", "[", "3", "{}", #"{"prompt":[{}]}"#, #"{"prompt":[{"text":"a","image":"b"}]}"#,
    #"[{"role":"tool","content":"x"}]"#, #"[{"role":"user"}]"#, #"[{"role":"user","content":3}]"#,
    #"[{"role":"user","content":[{"type":"text"}]}]"#,
    #"[{"role":"user","content":[{"type":"video","text":"x"}]}]"#,
  ])
  func otherDocumentsAreRefused(json: String) async {
    await #expect(throws: EngineError.self) {
      try await PromptJSON.prompt(from: Array(json.utf8), image: load)
    }
  }

  @Test func deepNestingIsRefused() async {
    let json = Array(String(repeating: "[", count: 100_000).utf8)
    await #expect(throws: EngineError.self) {
      try await PromptJSON.prompt(from: json, image: load)
    }
  }
}
