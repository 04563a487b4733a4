// The converter on the fixture models: every recipe, exact where it must be, the same bytes whatever
// happened on the way, and errors that name what is wrong.

import Conversion
import Foundation
import IdeficsModel
import Synchronization
import Tensors
import TestSupport
import Testing
import WeightFiles

/// A conversion of a fixture model in a folder of its own.
struct Converted {
  let folder: TemporaryFolder
  let path: String
  let report: ConversionReport

  init(
    _ model: String = "micro",
    recipe: QuantizationRecipe = .q4,
    _ change: (inout ConversionOptions) -> Void = { _ in }
  ) throws {
    folder = try TemporaryFolder()
    path = folder("model.idfx")
    let source = try ConversionSource(path: Fixture.url("models/\(model)").path)
    var options = ConversionOptions()
    options.threads = 2
    change(&options)
    report = try CheckpointConverter.convert(
      source,
      plan: ConversionPlan(source: source, recipe: recipe),
      to: path,
      options: options
    )
  }

  func bytes() throws -> [UInt8] { try folder.read("model.idfx") }
}

@Suite struct ConverterTests {
  private static let micro = Fixture.url("models/micro").path

  @Test(arguments: QuantizationRecipe.builtIn)
  func everyRecipeConverts(_ recipe: QuantizationRecipe) throws {
    let converted = try Converted(recipe: recipe)
    let file = try IdfxFile.open(converted.path)
    #expect(try file.verify())
    let source = try ConversionSource(path: Self.micro)
    try CheckpointVerifier.verify(file, against: source)
    #expect(file.tensors.count == WeightNames.inventory(of: source.configuration).count)
    #expect(file.metadata.recipe == recipe.json)
    #expect(file.metadata.sources.map(\.name) == ["model.safetensors"])
    #expect(file.metadata.files == source.companions.map(\.name))
    for companion in source.companions {
      #expect(try file.embeddedFile(companion.name) == companion.bytes)
    }
    #expect(converted.report.tensors.count == file.tensors.count)
    #expect(converted.report.fileBytes == file.fileByteCount)
  }

  @Test(arguments: [QuantizationRecipe.f32, .q4])
  func decodesToTheSource(_ recipe: QuantizationRecipe) throws {
    let converted = try Converted(recipe: recipe)
    let file = try IdfxFile.open(converted.path)
    let checkpoint = try CheckpointFolder(path: Self.micro)
    for tensor in file.tensors {
      let source = try #require(checkpoint.tensor(named: tensor.name))
      let bytes = try checkpoint.file(of: source).bytes(at: source.offset, count: source.byteCount)
      let expected = bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
      guard case .packed(let layout, _) = tensor.storage else {
        #expect(try file.dense(tensor.name).values == expected)
        continue
      }
      let matrix = try file.packed(tensor.name)
      var error = 0.0
      var signal = 0.0
      for (index, value) in expected.enumerated() {
        let decoded = matrix.value(row: index / layout.columns, column: index % layout.columns)
        error += pow(Double(value) - Double(decoded), 2)
        signal += pow(Double(value), 2)
      }
      #expect(layout.encoding.isQuantized || error == 0)
      #expect(abs(error - tensor.errorEnergy) <= 1e-4 * error)
      #expect(error <= 0.01 * signal, "\(tensor.name)")
    }
  }

  @Test func bytesDependOnNeitherThreadsNorSharding() throws {
    let one = try Converted { $0.threads = 1 }
    for threads in [2, 5] {
      let other = try Converted { $0.threads = threads }
      #expect(try other.bytes() == one.bytes())
    }
    // Shards change the provenance only.
    let whole = try IdfxFile.open(one.path)
    let sharded = try Converted("micro-sharded")
    let file = try IdfxFile.open(sharded.path)
    #expect(file.metadata.sources.count == 5)
    for (a, b) in zip(whole.tensors, file.tensors) {
      #expect(a.name == b.name && a.storage == b.storage && a.errorEnergy == b.errorEnergy)
      #expect(
        a.extents.map { $0.blocks.map(\.checksum) } == b.extents.map { $0.blocks.map(\.checksum) }
      )
    }
  }

  @Test func rawAndCompressedHoldTheSame() throws {
    let compressed = try Converted()
    let zstd = try IdfxFile.open(compressed.path)
    let converted = try Converted { $0.codec = .raw }
    let raw = try IdfxFile.open(converted.path)
    for tensor in zstd.tensors {
      guard case .packed = tensor.storage else {
        #expect(try zstd.dense(tensor.name).values == raw.dense(tensor.name).values)
        continue
      }
      let a = try zstd.packed(tensor.name)
      let b = try raw.packed(tensor.name)
      withExtendedLifetime((a, b)) {
        #expect(a.codes.bytes.elementsEqual(b.codes.bytes))
        #expect(a.codebook == b.codebook)
      }
    }
  }

  @Test func whatIsReadByRowStaysRaw() throws {
    let converted = try Converted()
    let file = try IdfxFile.open(converted.path)
    let raw = file.tensors.filter { tensor in tensor.extents.allSatisfy { $0.codec == .raw } }
    #expect(
      Set(raw.map(\.name)) == [
        "model.embed_tokens.weight", "model.embed_tokens.additional_embedding.weight",
      ]
    )
    #expect(raw.allSatisfy(file.isInPlace))
    #expect(file.tensors.filter(file.isInPlace).map(\.name) == raw.map(\.name))
  }

  @Test func resumesAfterEveryTensorToTheSameBytes() throws {
    let whole = try Converted()
    let source = try ConversionSource(path: Self.micro)
    let plan = try ConversionPlan(source: source, recipe: .q4)
    let folder = try TemporaryFolder()
    let path = folder("model.idfx")
    var interruptions = 0
    while !folder.exists("model.idfx") {
      let cancellation = CancellationFlag()
      let steps = Atomic(0)
      do {
        let report = try CheckpointConverter.convert(
          source,
          plan: plan,
          to: path,
          cancellation: cancellation
        ) { progress in
          // The first report is made before any work; a few tensors later, stop.
          if steps.add(1, ordering: .relaxed).newValue == 8 { cancellation.raise() }
        }
        #expect(report.resumedBytes > 0)
      } catch ConversionError.cancelled {
        interruptions += 1
        #expect(!folder.exists("model.idfx") && folder.exists("model.idfx.partial"))
      }
    }
    #expect(interruptions > 5)
    #expect(try folder.read("model.idfx") == whole.bytes())
    #expect(!folder.exists("model.idfx.partial") && !folder.exists("model.idfx.journal"))
  }

  /// A disk that fails in the middle: from some moment on the system answers every read of the checkpoint with EIO.
  @Test func whatCannotBeReadIsAnInputErrorAndResumes() throws {
    let folder = try TemporaryFolder()
    let copy = folder("checkpoint")
    try FileManager.default.copyItem(atPath: Self.micro, toPath: copy)
    let path = folder("model.idfx")
    let error = #expect(throws: ConversionError.self) {
      let source = try ConversionSource(path: copy)
      let steps = Atomic(0)
      _ = try CheckpointConverter.convert(
        source,
        plan: ConversionPlan(source: source, recipe: .q4),
        to: path
      ) { _ in
        if steps.add(1, ordering: .relaxed).newValue == 8 {
          Self.failReads(of: copy + "/model.safetensors")
        }
      }
    }
    #expect(error?.kind == .inputOutput, "\(String(describing: error))")
    #expect(error?.description.contains("model.safetensors") == true)
    #expect(!folder.exists("model.idfx") && folder.exists("model.idfx.partial"))

    let source = try ConversionSource(path: copy)
    let report = try CheckpointConverter.convert(
      source,
      plan: ConversionPlan(source: source, recipe: .q4),
      to: path
    )
    #expect(report.resumedBytes > 0)
    #expect(try folder.read("model.idfx") == Converted().bytes())
  }

  /// Puts a file under every descriptor of the one at `path` of which no byte near its start can be read: this process's
  /// own memory, whose first pages no process has.
  private static func failReads(of path: String) {
    let memory = open("/proc/self/mem", O_RDONLY)
    defer { close(memory) }
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
    for name in names {
      let target = try? FileManager.default.destinationOfSymbolicLink(
        atPath: "/proc/self/fd/" + name
      )
      if target == path, let descriptor = Int32(name) { dup2(memory, descriptor) }
    }
  }

  @Test func anotherRecipeDoesNotResumeWhatOneBegan() throws {
    let folder = try TemporaryFolder()
    let source = try ConversionSource(path: Self.micro)
    let cancellation = CancellationFlag()
    #expect(throws: ConversionError.self) {
      try CheckpointConverter.convert(
        source,
        plan: ConversionPlan(source: source, recipe: .q4),
        to: folder("model.idfx"),
        cancellation: cancellation
      ) { if $0.completedBytes > 0 { cancellation.raise() } }
    }
    let report = try CheckpointConverter.convert(
      source,
      plan: ConversionPlan(source: source, recipe: .q8),
      to: folder("model.idfx")
    )
    #expect(report.resumedBytes == 0)
    #expect(try folder.read("model.idfx") == Converted(recipe: .q8).bytes())
  }

  @Test func replacesOnlyWhenToldTo() throws {
    let converted = try Converted()
    let source = try ConversionSource(path: Self.micro)
    let plan = try ConversionPlan(source: source, recipe: .q8)
    #expect(throws: ConversionError.self) {
      try CheckpointConverter.convert(source, plan: plan, to: converted.path)
    }
    var options = ConversionOptions()
    options.replacesExisting = true
    _ = try CheckpointConverter.convert(source, plan: plan, to: converted.path, options: options)
    #expect(try IdfxFile.open(converted.path).metadata.recipe == QuantizationRecipe.q8.json)
  }

  @Test func exportGivesTheValuesBack() throws {
    for recipe in [QuantizationRecipe.f32, .q4] {
      let converted = try Converted(recipe: recipe)
      let file = try IdfxFile.open(converted.path)
      let folder = converted.folder("exported")
      try CheckpointExporter.export(file, to: folder)
      #expect(throws: ConversionError.self) { try CheckpointExporter.export(file, to: folder) }
      let checkpoint = try CheckpointFolder(path: folder)
      #expect(checkpoint.tensors.count == file.tensors.count)
      for tensor in file.tensors {
        let exported = try #require(checkpoint.tensor(named: tensor.name))
        #expect(exported.shape == tensor.shape && exported.dtype == .float32)
        let bytes = try checkpoint.file(of: exported)
          .bytes(at: exported.offset, count: exported.byteCount)
        let values = bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
        guard case .packed(let layout, _) = tensor.storage else {
          #expect(try file.dense(tensor.name).values == values)
          continue
        }
        let matrix = try file.packed(tensor.name)
        let decoded = values.indices.map {
          matrix.value(row: $0 / layout.columns, column: $0 % layout.columns)
        }
        #expect(decoded == values, "\(tensor.name)")
      }
      // What was exported converts again: to the same file but for its provenance.
      let again = try ConversionSource(path: folder)
      #expect(again.configuration == (try ConversionSource(path: Self.micro).configuration))
    }
  }

  @Test(arguments: BlockCodec.allCases)
  func verifyFindsAFlippedBitInEveryRegion(_ codec: BlockCodec) throws {
    let converted = try Converted { $0.codec = codec }
    let file = try IdfxFile.open(converted.path)
    let whole = try converted.bytes()
    var places = [("header", 9), ("zeros of the header", 40), ("first embedded file", 4096 + 5)]
    if codec == .zstd { places[2].1 = 64 + 9 }
    for tensor in file.tensors {
      for (plane, extent) in tensor.extents.enumerated() {
        for block in extent.blocks {
          places.append(("\(tensor.name) \(plane)", block.offset + block.storedBytes / 2))
        }
      }
    }
    let end = whole.count - 64
    places += [("directory", end - 5), ("directory's offset", end + 1), ("sum", end + 50)]
    places += [("end mark", whole.count - 1)]
    for (name, offset) in places {
      var damaged = whole
      damaged[offset] ^= 1 << UInt8(offset % 8)
      let path = try converted.folder.write(damaged, to: "damaged.idfx")
      #expect(throws: (any Error).self, "\(name), byte \(offset)") {
        try CheckpointVerifier.verify(try IdfxFile.open(path))
      }
    }
    #expect(places.count > 100)
  }

  @Test func verifyFindsATensorThatIsNotTheSources() throws {
    let folder = try TemporaryFolder()
    let copy = folder("checkpoint")
    try FileManager.default.copyItem(atPath: Self.micro, toPath: copy)
    let converted = try Converted()
    let file = try IdfxFile.open(converted.path)
    try CheckpointVerifier.verify(file, against: try ConversionSource(path: copy))
    var bytes = try folder.read("checkpoint/model.safetensors")
    bytes[bytes.count - 4001] ^= 0x40
    try folder.write(bytes, to: "checkpoint/model.safetensors")
    let error = #expect(throws: ConversionError.self) {
      try CheckpointVerifier.verify(file, against: try ConversionSource(path: copy))
    }
    #expect(error?.kind == .badData)
  }
}

@Suite struct ConversionPlanTests {
  /// A copy of the fixture checkpoint whose header text was edited.
  private func checkpoint(_ edit: (inout String) -> Void) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let source = Fixture.url("models/micro").path
    for name in try FileManager.default.contentsOfDirectory(atPath: source) {
      try FileManager.default.copyItem(atPath: source + "/" + name, toPath: folder(name))
    }
    let bytes = try folder.read("model.safetensors")
    let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    var header = String(decoding: bytes[8..<(8 + length)], as: UTF8.self)
    edit(&header)
    let text = Array(header.utf8)
    let size = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
    try folder.write(size + text + bytes[(8 + length)...], to: "model.safetensors")
    return folder
  }

  private func plan(_ folder: TemporaryFolder) throws -> ConversionPlan {
    try ConversionPlan(source: ConversionSource(path: folder.path), recipe: .q4)
  }

  @Test func ignoresWhatPublishedFilesHaveTooMuch() throws {
    let folder = try TemporaryFolder()
    let source = Fixture.url("models/micro").path
    for name in try FileManager.default.contentsOfDirectory(atPath: source) {
      try FileManager.default.copyItem(atPath: source + "/" + name, toPath: folder(name))
    }
    let bytes = try folder.read("model.safetensors")
    let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
    let data = bytes.count - 8 - length
    let end = try #require(
      String(decoding: bytes[8..<(8 + length)], as: UTF8.self).lastIndex(of: "}")
    )
    let header = String(decoding: bytes[8..<(8 + length)], as: UTF8.self)[..<end]
    let extra =
      ",\"model.layers.0.self_attn.rotary_emb.inv_freq\":"
      + "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[\(data),\(data + 8)]},"
      + "\"model.vision_model.embeddings.position_ids\":"
      + "{\"dtype\":\"I64\",\"shape\":[1,1],\"data_offsets\":[\(data + 8),\(data + 16)]}}"
    let text = Array((header + extra).utf8)
    let size = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
    let tail = [UInt8](repeating: 1, count: 16)
    try folder.write(size + text + bytes[(8 + length)...] + tail, to: "model.safetensors")
    #expect(try plan(folder).ignored.count == 2)
  }

  @Test func namesEveryTensorThatDoesNotFit() throws {
    let renamed = try checkpoint {
      $0 = $0.replacingOccurrences(of: "\"model.norm.weight\"", with: "\"model.worm.weight\"")
    }
    let error = #expect(throws: ConversionError.self) { try plan(renamed) }
    let sentence = error?.description ?? ""
    #expect(sentence.contains("model.norm.weight is missing"), "\(sentence)")
    #expect(sentence.contains("model.worm.weight is no parameter"), "\(sentence)")
    #expect(sentence.hasPrefix(renamed.path) && error?.kind == .badData)
  }

  @Test func refusesAnotherShapeAndIntegers() throws {
    let reshaped = try checkpoint { header in
      header = header.replacingOccurrences(of: "\"shape\":[512,64]", with: "\"shape\":[64,512]")
    }
    let error = #expect(throws: ConversionError.self) { try plan(reshaped) }
    #expect(error?.description.contains("[64, 512], expected [512, 64]") == true)
    let integers = try checkpoint { header in
      header = header.replacingOccurrences(of: "\"F32\"", with: "\"I32\"")
    }
    #expect(throws: ConversionError.self) { try plan(integers) }
  }

  @Test func refusesWeightsThatAreNotNumbers() throws {
    let folder = try checkpoint { _ in }
    var bytes = try folder.read("model.safetensors")
    bytes.replaceSubrange((bytes.count - 4)..., with: [0, 0, 0xc0, 0x7f])
    try folder.write(bytes, to: "model.safetensors")
    let source = try ConversionSource(path: folder.path)
    let error = #expect(throws: ConversionError.self) {
      try CheckpointConverter.convert(
        source,
        plan: ConversionPlan(source: source, recipe: .q4),
        to: folder("x.idfx")
      )
    }
    #expect(error?.kind == .badData && error?.description.contains("NaN") == true)
    #expect(!folder.exists("x.idfx"))
  }
}

@Suite struct QuantizationRecipeTests {
  private static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Models/recipes")

  @Test(arguments: QuantizationRecipe.builtIn)
  func theFilesAreTheBuiltInRecipes(_ recipe: QuantizationRecipe) throws {
    let path = Self.folder.appendingPathComponent(recipe.name + ".json").path
    #expect(try String(contentsOfFile: path, encoding: .utf8) == recipe.json)
    #expect(try QuantizationRecipe.named(path) == recipe)
    #expect(try QuantizationRecipe.named(recipe.name) == recipe)
  }

  @Test(arguments: [
    "[]", "{}", "{\"name\":\"x\"}", "{\"name\":\"x\",\"default\":\"q3\"}",
    "{\"name\":\"x\",\"default\":\"q8\"}",
    "{\"name\":\"x\",\"default\":\"f32\",\"unknown\":1}",
    "{\"name\":\"x\",\"default\":\"f32\",\"roles\":{\"nose\":\"q8\"}}",
    "{\"name\":\"x\",\"default\":\"f32\",\"roles\":{\"small\":\"q8\"}}",
    "{\"name\":\"x\",\"default\":\"f32\",\"roles\":{\"head\":\"q8\",\"head\":\"q4g16\"}}",
    "{\"name\":\"\",\"default\":\"f32\"}",
    "{\"name\":\"x\",\"default\":\"f32\",\"roles\":{\"additional_head\":\"q8\"}}",
  ])
  func refuses(_ text: String) {
    #expect(throws: ConversionError.self) {
      try QuantizationRecipe(json: Array(text.utf8), path: "recipe.json")
    }
  }

  /// Bits in memory, all scales counted, of the 4-bit weights of the published 9b and 80b shapes.
  @Test(arguments: [(4096, 11008, 32), (8192, 22016, 80)])
  func fourBitRecipesKeepTheirSize(_ hidden: Int, _ inner: Int, _ layers: Int) throws {
    let json = """
      {"hidden_size": \(hidden), "intermediate_size": \(inner), "num_hidden_layers": \(layers),
       "num_attention_heads": 32, "additional_vocab_size": 2, "cross_layer_interval": 4,
       "qk_layer_norms": true, "use_resampler": true, "vision_config": {"embed_dim": 1280},
       "perceiver_config": {"qk_layer_norms_perceiver": true}}
      """
    let configuration = try Configuration(json: Array(json.utf8))
    for (recipe, limit) in [(QuantizationRecipe.q4, 4.5), (.q4Small, 4.32)] {
      var bytes = 0
      var weights = 0
      for weight in WeightNames.inventory(of: configuration) {
        guard let encoding = recipe.encoding(for: weight.role), encoding.hasCodebook else {
          continue
        }
        let rows = weight.shapes[0][0]
        let columns = weight.shapes[0].dropFirst().reduce(1, *)
        let layout = try #require(PackedLayout(rows: rows, columns: columns, encoding: encoding))
        bytes += layout.byteCount
        weights += rows * columns
      }
      #expect(Double(bytes) * 8 / Double(weights) <= limit)
    }
  }

  @Test func aFileThatIsNotThereIsNoInput() {
    let error = #expect(throws: ConversionError.self) { try QuantizationRecipe.named("/no/such") }
    #expect(error?.kind == .noInput)
  }
}
