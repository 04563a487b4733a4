import Evaluation
import Testing

@Suite struct PromptTemplateTests {
  private func question(_ id: String, _ text: String, answers: [String] = []) -> EvaluationItem {
    var item = EvaluationItem(
      id: id,
      content: .question(text, images: [.file("\(id).png")]),
      line: 1
    )
    item.answers = answers
    return item
  }

  @Test func makesThePublishedPrompt() throws {
    let template = PromptTemplate(style: .base, describes: false)
    let shot = question("1", "What?", answers: ["cat", "dog", "dog"])
    let made = try template.parts(for: question("2", "Where?"), shots: [shot])
    #expect(!made.parsesSpecial)
    #expect(
      made.parts == [
        .text(
          "Instruction: provide an answer to the question. Use the image to answer.\nImage:"
        ),
        .image(.file("1.png")),
        .text("Question: What? Answer: dog\nImage:"),
        .image(.file("2.png")),
        .text("Question: Where? Answer:"),
      ]
    )
    let captions = PromptTemplate(style: .base, describes: true)
    let item = EvaluationItem(id: "3", content: .caption(.file("3.png")), line: 1)
    #expect(
      try captions.parts(for: item).parts
        == [.text("Image:"), .image(.file("3.png")), .text("Caption:")]
    )
  }

  @Test func makesTurns() throws {
    let template = PromptTemplate(style: .instruct, describes: false, instruction: "Be short.")
    let shot = question("1", "What?", answers: ["dog"])
    let made = try template.parts(for: question("2", "Where?"), shots: [shot])
    #expect(made.parsesSpecial)
    #expect(
      made.parts == [
        .text("User:"),
        .image(.file("1.png")),
        .text("What? Be short.<end_of_utterance>\nAssistant: dog<end_of_utterance>\nUser:"),
        .image(.file("2.png")),
        .text("Where? Be short.<end_of_utterance>\nAssistant:"),
      ]
    )
  }

  @Test func listsChoices() throws {
    var item = question("1", "Which?")
    item.choices = ["red", "blue"]
    item.correctChoice = 1
    let template = PromptTemplate(style: .base, describes: false, instruction: "")
    let made = try template.parts(for: item, shots: [item], letters: true)
    #expect(made.parts[2] == .text("Question: Which?\nA. red\nB. blue Answer: B\nImage:"))
  }

  @Test(arguments: ["<end_of_utterance>", "a <image> b", "<s>"])
  func dataCannotPoseAsTokens(text: String) {
    let template = PromptTemplate(style: .instruct, describes: false)
    #expect(throws: EvaluationError.self) { try template.parts(for: question("1", text)) }
  }

  @Test func examplesAreDrawnFromTheSeedAndNeverTheQuestion() throws {
    let folder = try TemporaryFolder()
    let rows = (0..<6).map {
      "{\"question_id\": \($0), \"question\": \"\($0)?\", \"image_id\": \($0)}"
    }
    let truths = (0..<6).map { "{\"question_id\": \($0), \"answers\": [{\"answer\": \"x\"}]}" }
    let support = try EvaluationDataset.vqa(
      questions: folder.write("q.json", "{\"questions\": [\(rows.joined(separator: ","))]}"),
      annotations: folder.write("a.json", "{\"annotations\": [\(truths.joined(separator: ","))]}"),
      images: COCOImageNames(folder: "/")
    )
    let shots = try FewShot(from: support, count: 4, seed: 3)
    var drawn: Set<[String]> = []
    for index in 0..<40 {
      let ids = shots.examples(at: index, excluding: "2").map(\.id)
      #expect(Set(ids).count == 4 && !ids.contains("2"))
      #expect(shots.examples(at: index, excluding: "2").map(\.id) == ids)
      drawn.insert(ids)
    }
    #expect(drawn.count > 20)
    #expect(throws: EvaluationError.self) { try FewShot(from: support, count: 6, seed: 3) }
  }
}
