import Evaluation
import Foundation
import Idefix
import Testing

@Suite struct DatasetTests {
  // MARK: JSON lines

  @Test func readsOurRows() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
      "rows.jsonl",
      """
      {"id": "a", "task": "t", "prompt": [{"text": "x"}, {"image": "i/1.png"}], "answers": ["1", "2"], \
      "match": "set", "format": "{n}", "stop": ["\\n"], "phrasing": "held", "count": 3}\r

      {"id": 7, "prompt": [], "answer": "b", "choices": ["a", "b"]}
      {"prompt": []}
      """
    )
    let items = try EvaluationDataset.jsonLines(path).items
    #expect(items.map(\.id) == ["a", "7", "4"])
    #expect(
      items[0].content == .prompt([.text("x"), .image(.file(folder.path + "/i/1.png"))])
    )
    #expect(items[0].answers == ["1", "2"] && items[0].match == .set && items[0].stop == ["\n"])
    #expect(items[0].format == "{n}" && items[0].tags == ["task": "t", "phrasing": "held"])
    #expect(items[1].correctChoice == 1 && items[1].answers == ["b"])
    #expect(items.map(\.line) == [1, 3, 4])
  }

  @Test(arguments: [
    ("{", "it is not valid JSON"),
    ("{}", "the field prompt is missing"),
    ("[1]", "the row has the wrong type"),
    ("{\"prompt\": [{\"text\": 1}]}", "text has the wrong type"),
    ("{\"prompt\": [{}]}", "each part of the prompt must have either text or image"),
    ("{\"prompt\": [{\"text\": \"a\", \"image\": \"b\"}]}", "each part of the prompt"),
    ("{\"prompt\": [], \"match\": \"fuzzy\"}", "match must be strict, short, set or line"),
    ("{\"prompt\": [], \"choices\": [\"a\"]}", "the first answer must be one of the choices"),
    ("{\"id\": \"first\", \"prompt\": []}", "the id first occurs twice"),
    ("\u{0}", "it is not valid JSON"),
  ])
  func namesTheLineOfABadRow(row: String, reason: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("rows.jsonl", "{\"id\": \"first\", \"prompt\": []}\n\(row)\n")
    let error = #expect(throws: EvaluationError.self) { try EvaluationDataset.jsonLines(path) }
    guard case .invalidData(path, 2, let found)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(found.contains(reason), "\(found)")
    #expect(error?.kind == .badData)
  }

  @Test func missesFiles() {
    let path = "/nowhere/at.all"
    #expect(throws: EvaluationError.noSuchFile(path: path)) {
      try EvaluationDataset.jsonLines(path)
    }
    #expect(throws: EvaluationError.noSuchFile(path: path)) { try EvaluationDataset.table(path) }
    #expect(throws: EvaluationError.noSuchFile(path: path)) { try TextDocument.read(path) }
    #expect(throws: EvaluationError.noSuchFile(path: path)) { try DistributionFile(path) }
  }

  // MARK: VQA v2

  private static let questions = """
    {"info": {"note": "]}", "list": [[1], {}]}, "questions": [
      {"image_id": 42, "question": "What is \\"it\\", {really}?", "question_id": 421},
      {"question_id": 422, "image_id": 42, "question": "How many?"}],
     "data_subtype": "val2014"}
    """
  private static let annotations = """
    {"annotations": [
      {"question_id": 422, "answer_type": "number", "question_type": "how many",
       "answers": [{"answer": "2", "answer_id": 1}, {"answer": "two", "answer_id": 2}]},
      {"question_id": 421, "answers": [{"answer": "a dog"}]}]}
    """

  @Test func joinsQuestionsAndAnnotations() throws {
    let folder = try TemporaryFolder()
    let questions = try folder.write("q.json", Self.questions)
    let annotations = try folder.write("a.json", Self.annotations)
    let dataset = try EvaluationDataset.vqa(
      questions: questions,
      annotations: annotations,
      images: COCOImageNames(folder: "/images")
    )
    #expect(dataset.paths == [questions, annotations])
    #expect(dataset.items.map(\.id) == ["421", "422"])
    #expect(
      dataset.items[0].content
        == .question(
          "What is \"it\", {really}?",
          images: [.file("/images/COCO_val2014_000000000042.jpg")]
        )
    )
    #expect(dataset.items.map(\.answers) == [["a dog"], ["2", "two"]])
    #expect(dataset.items[1].tags == ["answer_type": "number", "question_type": "how many"])

    let test = try EvaluationDataset.vqa(
      questions: questions,
      annotations: nil,
      images: COCOImageNames(folder: "/images", pattern: "{number}/{id}.png")
    )
    #expect(test.items.map(\.answers) == [[], []])
    #expect(
      test.items[1].content
        == .question("How many?", images: [.file("/images/42/000000000042.png")])
    )
  }

  @Test func refusesEveryTruncationOfAQuestionFile() throws {
    let folder = try TemporaryFolder()
    let bytes = Array(Self.questions.utf8)
    for count in 0..<bytes.count {
      let path = try folder.write("q.json", Array(bytes[..<count]))
      #expect(throws: EvaluationError.self, "\(count) bytes") {
        try EvaluationDataset.vqa(
          questions: path,
          annotations: nil,
          images: COCOImageNames(folder: "")
        )
      }
    }
  }

  @Test(arguments: [
    "{}", "[]", "{\"questions\": []}", "{\"questions\" [1]}", "{\"questions\": [}]}",
  ])
  func refusesFilesWithoutQuestions(text: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("q.json", text)
    #expect(throws: EvaluationError.self) {
      try EvaluationDataset.vqa(
        questions: path,
        annotations: nil,
        images: COCOImageNames(folder: "")
      )
    }
  }

  @Test func missesAnAnnotation() throws {
    let folder = try TemporaryFolder()
    let questions = try folder.write("q.json", Self.questions)
    let annotations = try folder.write("a.json", "{\"annotations\": []}")
    let error = #expect(throws: EvaluationError.self) {
      try EvaluationDataset.vqa(
        questions: questions,
        annotations: annotations,
        images: COCOImageNames(folder: "")
      )
    }
    #expect(
      error?.description == "\(annotations): there is no annotation of question 421."
    )
  }

  @Test func imageNumbersCannotLeaveTheFolder() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
      "q.json",
      "{\"questions\": [{\"question_id\": 1, \"question\": \"\", \"image_id\": \"../../etc/x\"}]}"
    )
    #expect(throws: EvaluationError.self) {
      try EvaluationDataset.vqa(
        questions: path,
        annotations: nil,
        images: COCOImageNames(folder: "/images")
      )
    }
  }

  // MARK: COCO captions

  @Test func gathersCaptions() throws {
    let folder = try TemporaryFolder()
    let path = try folder.write(
      "captions.json",
      """
      {"annotations": [{"image_id": 2, "id": 1, "caption": "a"}, {"image_id": 2, "id": 2, "caption": "b"}],
       "images": [{"id": 1, "file_name": "1.jpg"}, {"id": 2, "file_name": "2.jpg"}]}
      """
    )
    let items = try EvaluationDataset.cocoCaptions(path, images: "/images").items
    #expect(items.map(\.id) == ["1", "2"])
    #expect(items.map(\.answers) == [[], ["a", "b"]])
    #expect(items[1].content == .caption(.file("/images/2.jpg")))
  }

  // MARK: tables

  @Test func readsTables() throws {
    let folder = try TemporaryFolder()
    let picture = [UInt8](repeating: 0x5a, count: 60)
    let base64 = Data(picture).base64EncodedString()
    let path = try folder.write(
      "table.tsv",
      "index\timage\tquestion\thint\tA\tB\tC\tanswer\tcategory\r\n"
        + "1\t\(base64)\t\"What\tis \"\"this\"\"?\nTell.\"\t\tx\ty\t\tB\tone\r\n"
        + "2\t1\tAnd this?\tLook.\tx\ty\tz\tc\ttwo\n"
    )
    let items = try EvaluationDataset.table(path).items
    #expect(items.map(\.id) == ["1", "2"] && items.map(\.line) == [2, 4])
    guard case .question(let first, let images) = items[0].content,
      case .question(let second, let borrowed) = items[1].content
    else {
      Issue.record("no questions")
      return
    }
    #expect(first == "What\tis \"this\"?\nTell." && second == "Look.\nAnd this?")
    #expect(images == borrowed)
    #expect(try images[0].load() == .encoded(picture))
    #expect(items.map(\.choices) == [["x", "y"], ["x", "y", "z"]])
    #expect(items.map(\.correctChoice) == [1, 2])
    #expect(items.map(\.tags) == [["category": "one"], ["category": "two"]])
  }

  @Test(arguments: [
    ("['a', \"b's\", 'c\\'d']", ["a", "b's", "c'd"]),
    ("[3, 4]", ["[3, 4]"]),
    ("plain", ["plain"]),
    ("['open]", ["['open]"]),
  ])
  func readsListsOfAnswers(text: String, answers: [String]) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("t.tsv", "index\tquestion\tanswer\n1\tq\t\(text)\n")
    #expect(try EvaluationDataset.table(path).items.first?.answers == answers)
  }

  @Test(arguments: [
    ("", 1, "the file is empty"),
    ("index\tanswer\n", 1, "columns index and question are needed"),
    ("index\tquestion\n1\n", 2, "2 columns are expected; there are 1"),
    ("index\tquestion\n1\t\"q\n", 3, "a quoted field is not closed"),
    ("index\tquestion\tA\tanswer\n1\tq\tx\tB\n", 2, "the answer must be the letter of a choice"),
    ("index\tquestion\timage\n1\tq\t9\n", 2, "the image is neither base64 nor"),
    ("index\tquestion\n1\tq\n1\tr\n", 3, "the id 1 occurs twice"),
  ])
  func namesTheLineOfABadTable(text: String, line: Int, reason: String) throws {
    let folder = try TemporaryFolder()
    let path = try folder.write("t.tsv", text)
    let error = #expect(throws: EvaluationError.self) { try EvaluationDataset.table(path) }
    guard case .invalidData(path, line, let found)? = error else {
      Issue.record("\(String(describing: error))")
      return
    }
    #expect(found.contains(reason), "\(found)")
  }

  // MARK: text

  @Test func readsDocuments() throws {
    let folder = try TemporaryFolder()
    let text = try folder.write("a.txt", "Some é text.\n")
    #expect(
      try TextDocument.read(text) == [TextDocument(id: "a.txt", text: "Some é text.\n")]
    )
    let rows = try folder.write("a.jsonl", "{\"text\": \"x\"}\n{\"id\": \"b\", \"text\": \"y\"}")
    #expect(try TextDocument.read(rows).map(\.id) == ["1", "b"])
    let latin = try folder.write("b.txt", [0x61, 0xe9])
    #expect(throws: EvaluationError.self) { try TextDocument.read(latin) }
  }
}
