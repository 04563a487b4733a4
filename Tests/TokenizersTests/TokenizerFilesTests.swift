import Foundation
import TestSupport
import Testing
import Tokenizers

/// What the files say about special tokens, and which files are refused.
@Suite struct TokenizerFilesTests {
  @Test(arguments: TokenizerFixture.vocabularies)
  func specialTokensAreFound(vocabulary: String) throws {
    let tokenizer = try TokenizerFixture.tokenizer(vocabulary)
    let special = tokenizer.specialTokens
    #expect([special.unk, special.bos, special.eos, special.pad] == [0, 1, 2, 0])
    #expect(special.fakeTokenAroundImage == 512)
    #expect(special.image == 513)
    #expect(special.endOfUtterance == 514)
    #expect(special.listsEndOfUtterance)
    #expect(tokenizer.vocabulary.count == 515)
    let ids = (TokenID(-1)..<516).filter(tokenizer.isSpecial)
    #expect(ids == [0, 1, 2, 512, 513, 514])
  }

  @Test func settingsAreOptional() throws {
    let json = try Tokenizer(files: TokenizerFixture.files(["tokenizer.json"]))
    #expect(json.specialTokens == (try TokenizerFixture.tokenizer().specialTokens))
    let model = try Tokenizer(files: TokenizerFixture.files(["tokenizer.model"]))
    #expect(model.vocabulary.count == 512)
    #expect(model.specialTokens.image == nil)
    #expect(model.specialTokens.additional.isEmpty)
    #expect(model.encode("<s>a</s>", parseSpecial: true) == [1, 263, 2])
  }

  @Test func listedTokensWithoutIdsFollowTheVocabulary() throws {
    var files = try TokenizerFixture.files(["tokenizer.model"])
    files["special_tokens_map.json"] = Array(
      #"{"pad_token": "<pad>", "additional_special_tokens": ["<image>", {"content": "<x>"}]}"#.utf8
    )
    files["tokenizer_config.json"] = Array(
      #"{"pad_token": null, "model_max_length": 1000000000000000019884624838656}"#.utf8
    )
    let tokenizer = try Tokenizer(files: files)
    #expect(tokenizer.specialTokens.image == 512)
    #expect(tokenizer.vocabulary.id(ofPiece: "<x>") == 513)
    #expect(tokenizer.specialTokens.pad == 514)
    #expect(!tokenizer.specialTokens.listsEndOfUtterance)
  }

  @Test func vocabularyGivesTheBytesOfEveryToken() throws {
    let vocabulary = try TokenizerFixture.tokenizer().vocabulary
    #expect(vocabulary.textOffsets.count == vocabulary.count + 1)
    #expect(vocabulary.textOffsets.last == vocabulary.allText.count)
    #expect(vocabulary.text(of: 263) == Array(" a".utf8)[...])
    #expect(vocabulary.text(of: 3 + 0x0a) == [0x0a])
    #expect(vocabulary.text(of: 515).isEmpty)
    for id in 0..<TokenID(vocabulary.count) {
      #expect(vocabulary.id(ofPiece: vocabulary.piece(of: id)) == id)
    }
  }

  @Test func mergesMayBeArrays() throws {
    let json = try TokenizerFixture.jsonWithModel { model in
      let merges = model["merges"] as? [String] ?? []
      model["merges"] = merges.map { $0.split(separator: " ").map(String.init) }
    }
    let tokenizer = try Tokenizer(files: ["tokenizer.json": json])
    for reference in try ReferenceEncoding.all() {
      #expect(tokenizer.encode(reference.text, parseSpecial: true) == reference.ids)
    }
  }

  @Test func anotherPipelineGivesWayToTheSentencePieceModel() throws {
    let json = try TokenizerFixture.json {
      $0["normalizer"] = NSNull()
      $0["pre_tokenizer"] = ["type": "Metaspace", "prepend_scheme": "first"]
    }
    #expect(
      throws: TokenizerError.unsupported(file: "tokenizer.json", feature: "another normalizer")
    ) {
      try Tokenizer(files: ["tokenizer.json": json])
    }
    var files = try TokenizerFixture.files(["tokenizer.model"] + TokenizerFixture.settings)
    files["tokenizer.json"] = json
    #expect(try Tokenizer(files: files).encode("<s>a", parseSpecial: true) == [1, 263])
  }

  @Test(
    arguments: [
      ("ignore_merges", true), ("dropout", 0.5), ("end_of_word_suffix", "</w>"),
      ("continuing_subword_prefix", "##"), ("type", "Unigram"), ("vocab", ["a"]),
    ] as [(String, any Sendable)]
  )
  func anotherModelIsRefused(key: String, value: any Sendable) throws {
    let json = try TokenizerFixture.jsonWithModel { $0[key] = value }
    let error = #expect(throws: TokenizerError.self) {
      try Tokenizer(files: ["tokenizer.json": json])
    }
    guard case .unsupported(file: "tokenizer.json", feature: _)? = error else {
      Issue.record("\(key): \(String(describing: error))")
      return
    }
  }

  @Test(
    arguments: [
      (#"["▁ t"]"#, true), (#"[["▁", "t"]]"#, true), ("[]", true), (#"["q q"]"#, false),
      (#"["a"]"#, false), (#"["a  b"]"#, false), (#"[" t"]"#, false),
      (#"["▁ t", "▁ t"]"#, false), (#"["<0x0A> t"]"#, false), (#"["<s> t"]"#, false),
      (#"[["t"]]"#, false), (#"[["▁", "t", ""]]"#, false), (#"[["t", ""]]"#, false),
      ("[1]", false), ("[null]", false), ("{}", false),
    ])
  func impossibleMergesAreRefused(merges: String, isGood: Bool) throws {
    let json = try TokenizerFixture.jsonWithModel {
      $0["merges"] = try JSONSerialization.jsonObject(with: Data(merges.utf8))
    }
    accepts(["tokenizer.json": json], isGood)
  }

  @Test(
    arguments: [
      (#""a": 3"#, true), (#""a": 4"#, false), (#""a": -1"#, false), (#""a": 2"#, false),
      (#""a": 1048576"#, false), (#""a": 3.5"#, false), (#""a": "3""#, false),
      (#""": 3"#, false), (#""a": 3, "a": 4"#, false), (#""\ud800": 3"#, false),
    ])
  func impossibleVocabulariesAreRefused(entry: String, isGood: Bool) throws {
    let pipeline = """
      {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, \
      {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
      """
    let vocabulary = #"{"<unk>": 0, "<s>": 1, "</s>": 2, \#(entry)}"#
    let json = #"{"normalizer": \#(pipeline), "model": {"vocab": \#(vocabulary), "merges": []}}"#
    accepts(["tokenizer.json": Array(json.utf8)], isGood)
  }

  @Test(
    arguments: [
      ("added_tokens.json", #"{"<image>": 600}"#),
      ("added_tokens.json", #"{"<new>": 5}"#),
      ("added_tokens.json", #"{"<new>": 516}"#),
      ("added_tokens.json", #"{"<new>": -1}"#),
      ("added_tokens.json", #"{"<new>": 9223372036854775807}"#),
      ("added_tokens.json", #"{"<new>": 9223372036854775808}"#),
      ("added_tokens.json", #"{"<one>": 515, "<two>": 515}"#),
      ("added_tokens.json", #"{"": 515}"#),
      ("added_tokens.json", #"{"<new>": "515"}"#),
      ("tokenizer_config.json", #"{"added_tokens_decoder": {"x": {"content": "<new>"}}}"#),
      ("tokenizer_config.json", #"{"added_tokens_decoder": {"515": {}}}"#),
      (
        "tokenizer_config.json",
        #"{"added_tokens_decoder": {"515": {"content": "<new>", "lstrip": true}}}"#
      ),
      ("special_tokens_map.json", #"{"bos_token": 1}"#),
      ("special_tokens_map.json", #"{"additional_special_tokens": [null]}"#),
      ("special_tokens_map.json", #"{"a": "\ud800"}"#),
      ("special_tokens_map.json", #"{"a": "\ud800\u0041"}"#),
      ("special_tokens_map.json", #"{"a": "\udc00"}"#),
      ("special_tokens_map.json", #"{"a": "\u12"}"#),
      ("special_tokens_map.json", #"{"a": "\x"}"#),
      ("special_tokens_map.json", "{\"a\": \"\n\"}"),
      ("special_tokens_map.json", #"{"a": 01}"#),
      ("special_tokens_map.json", #"{"a": 1.}"#),
      ("special_tokens_map.json", #"{"a": 1e}"#),
      ("special_tokens_map.json", #"{"a": -}"#),
      ("special_tokens_map.json", #"{"a": tru}"#),
      ("special_tokens_map.json", #"{"a": 1,}"#),
      ("special_tokens_map.json", #"{"a" 1}"#),
      ("special_tokens_map.json", #"{"a": 1}}"#),
      ("special_tokens_map.json", #"{"a": [1 2]}"#),
      ("special_tokens_map.json", ""),
      ("special_tokens_map.json", String(repeating: "[", count: 100_000)),
      ("special_tokens_map.json", String(repeating: #"{"a":"#, count: 100_000)),
      ("special_tokens_map.json", "[" + String(repeating: "[],", count: 100_000) + "[]]"),
      ("special_tokens_map.json", #"{"pad_token": "\#(String(repeating: "<", count: 1 << 20))"}"#),
      ("special_tokens_map.json", #"{"pad_token": "\#(String(repeating: "<", count: 257))"}"#),
      ("tokenizer.json", String(repeating: #"{"a":"#, count: 100_000)),
      ("tokenizer_config.json", #"{"model_max_length": 1e400}"#),
      ("tokenizer_config.json", #"{"pad_token": null, "pad_token": "<pad>"}"#),
    ])
  func damagedSettingsAreRefused(file: String, text: String) throws {
    var files = try TokenizerFixture.files(["tokenizer.json"])
    files[file] = Array(text.utf8)
    #expect(throws: TokenizerError.self) { try Tokenizer(files: files) }
  }

  @Test func settingsThatAreNotUTF8AreRefused() throws {
    var files = try TokenizerFixture.files(["tokenizer.json"])
    files["added_tokens.json"] = [0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]
    #expect(
      throws: TokenizerError.malformed(
        file: "added_tokens.json",
        offset: 3,
        reason: "text that is not UTF-8"
      )
    ) { try Tokenizer(files: files) }
  }

  @Test func textsThatOnlyLookEqualAreDifferentTokens() throws {
    var files = try TokenizerFixture.files(["tokenizer.model"])
    files["special_tokens_map.json"] = Array(
      "{\"additional_special_tokens\": [\"\u{e9}\"], \"pad_token\": \"e\u{301}\"}".utf8
    )
    let tokenizer = try Tokenizer(files: files)
    #expect(tokenizer.encode("e\u{301}", parseSpecial: true) == [tokenizer.specialTokens.pad])
    #expect(tokenizer.encode("\u{e9}", parseSpecial: true) != [tokenizer.specialTokens.pad])
  }

  @Test func missingAndOversizedFilesAreNamed() throws {
    #expect(throws: TokenizerError.missingVocabulary) { try Tokenizer(files: ["x": []]) }
    let zeros = [UInt8](repeating: 0, count: Tokenizer.largestFile + 1)
    for name in TokenizerFixture.vocabularies {
      #expect(
        throws: TokenizerError.fileTooLarge(
          file: name,
          bytes: zeros.count,
          limit: Tokenizer.largestFile
        )
      ) { try Tokenizer(files: [name: zeros]) }
    }
    let named = Array(#"{"bos_token": "<begin>"}"#.utf8)
    var files = try TokenizerFixture.files(["tokenizer.json"])
    files["special_tokens_map.json"] = named
    #expect(try Tokenizer(files: files).specialTokens.bos == 515)
  }

  private func accepts(
    _ files: [String: [UInt8]],
    _ isGood: Bool,
    at location: SourceLocation = #_sourceLocation
  ) {
    let result = Result { try Tokenizer(files: files) }
    switch result {
    case .success: #expect(isGood, sourceLocation: location)
    case .failure(let error):
      #expect(error is TokenizerError, sourceLocation: location)
      #expect(!isGood, "\(error)", sourceLocation: location)
    }
  }
}
