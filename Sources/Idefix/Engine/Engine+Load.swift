// From an .idfx file to a running engine: everything that can be wrong with the file is found here, before the engine
// thread starts; memory is planned from headers alone.

import Crypto
import Foundation
import IdeficsModel
import Images
import Kernels
import Tokenizers
import WeightFiles

extension Engine {
  /// Loads a model.
  ///
  /// - Parameters:
  ///   - path: An `.idfx` file, as `idefix convert` writes it.
  ///   - options: Limits and resources.
  /// - Returns: An engine that is ready for requests.
  /// - Throws: An ``EngineError`` that names the file and what is wrong with it, or `CancellationError`:
  ///   cancelling the task stops loading after the blocks at hand.
  public static func load(
    from path: String,
    options: EngineOptions = EngineOptions()
  ) async throws -> Engine {
    guard FileManager.default.fileExists(atPath: path) else {
      throw EngineError.noSuchModel(path: path)
    }
    do {
      // Mapped pages count as resident and cannot be held to a budget; nor does a file that is truncated
      // while it is streamed end the process that way.
      let access = options.memory == nil ? IdfxAccess.mapped : .copied
      return try await load(ModelFile(path: path, access: access), options: options)
    } catch let error as EngineError {
      throw error
    } catch WeightFileError.cancelled, is CancellationError {
      throw CancellationError()
    } catch {
      throw EngineError.invalidModel(path: path, reason: Self.clause("\(error)", of: path))
    }
  }

  /// A sentence about a file as a clause: without its name, and without a full stop.
  private static func clause(_ sentence: String, of path: String) -> String {
    var clause = sentence[...]
    if clause.hasPrefix(path + ": ") {
      clause = clause.dropFirst(path.count + 2)
      for verb in ["is ", "has "] where clause.hasPrefix(verb) { return trimmed("it " + clause) }
    }
    return trimmed(clause)
  }

  private static func trimmed(_ text: some StringProtocol) -> String {
    text.hasSuffix(".") ? String(text.dropLast()) : String(text)
  }

  private static func load(_ file: ModelFile, options: EngineOptions) async throws -> Engine {
    let configuration = file.configuration
    let isa = try options.isa.map { name in
      guard let isa = ISA(rawValue: name), ISA.available.contains(isa) else {
        throw EngineError.invalidParameter(name: "isa", reason: "is not available on this machine")
      }
      return isa
    }
    let element = KVElement(options.cacheElement)
    let threads = options.threads
    let compute = try ComputeContext.facts(isa: isa, threads: threads)
    let plan = try CachePlan(
      configuration: configuration,
      file: file.source,
      options: options,
      threads: compute.threads
    )
    let limits = ModelLimits(
      tokensPerStep: plan.tokensPerStep,
      pages: plan.pages,
      cacheElement: element
    )
    let info = ModelInfo(
      name: URL(filePath: file.path).deletingPathExtension().lastPathComponent,
      path: file.path,
      fingerprint: file.fingerprint,
      isInstruct: file.tokenizer.specialTokens.listsEndOfUtterance,
      vocabularySize: configuration.totalVocabularySize,
      contextTokens: plan.contextTokens,
      hiddenSize: configuration.hiddenSize,
      layers: configuration.layers,
      crossBlocks: configuration.crossBlocks,
      imageSize: configuration.vision.imageSize,
      recipe: file.recipeName,
      isa: compute.isa.rawValue,
      threads: compute.threads,
      cacheElement: options.cacheElement,
      cacheBytes: plan.pages * plan.pageBytes,
      bosToken: file.tokenizer.specialTokens.bos,
      eosToken: file.tokenizer.specialTokens.eos,
      endOfUtteranceToken: file.tokenizer.specialTokens.endOfUtterance
    )
    let preparer = RequestPreparer(
      renderer: PromptRenderer(tokenizer: file.tokenizer),
      processor: file.processor,
      vocabularySize: min(configuration.totalVocabularySize, file.tokenizer.vocabulary.count),
      contextTokens: plan.contextTokens,
      options: options
    )
    let source = file.source
    let parts = EngineParts(info: info, preparer: preparer, options: options)
    let cancellation = CancellationFlag()
    return try await withTaskCancellationHandler {
      try await start(parts) {
        let compute = try ComputeContext(isa: isa, threads: threads)
        // Before the stream begins to read ahead, which would be measured too.
        let forecast =
          plan.residency.isStreaming
          ? try StreamForecast(
            measuring: source,
            configuration: configuration,
            plan: plan.residency,
            on: compute,
            reserving: plan.residency.bytes + plan.pages * plan.pageBytes
          ) : nil
        let weights = try FileWeights(
          source,
          configuration: configuration,
          plan: plan.residency,
          threads: compute.threads,
          cancellation: cancellation
        )
        let residency = WeightResidency(weights, forecast: forecast)
        let model = try IdeficsModel(
          source: weights,
          configuration: configuration,
          compute: compute,
          limits: limits
        )
        return LoadedModel(model, residency: residency, pageBytes: plan.pageBytes)
      }
    } onCancel: {
      cancellation.raise()
    }
  }
}

extension ComputeContext {
  /// What a context would use; the context itself belongs to the engine thread.
  fileprivate static func facts(isa: ISA?, threads: Int?) throws -> (isa: ISA, threads: Int) {
    let context = try ComputeContext(isa: isa, threads: threads)
    return (context.isa, context.threads)
  }
}

extension WeightResidency {
  /// What is where, and how fast that is going to be.
  fileprivate init(_ weights: FileWeights, forecast: StreamForecast?) {
    self.init()
    let plan = weights.plan
    bufferBytes = ResidencyPlan.slots * plan.slotBytes
    pinnedBytes = plan.bytes - bufferBytes
    imageBytes = plan.onDemandBytes
    streamedBytesPerPass = plan.bytesPerPass
    streamedBytesPerImage = plan.bytesPerImage
    let load = weights.loadStatistics
    loadedBytes = load.storedBytes
    loadSeconds = load.seconds
    readBytesPerSecond = load.readBytesPerSecond
    decodedBytesPerSecond = load.decodeBytesPerSecond
    secondsPerToken = forecast?.secondsPerPass(plan)
  }
}

extension KVElement {
  /// The kernels' name of a cache element.
  package init(_ element: CacheElement) {
    self =
      switch element {
      case .f32: .f32
      case .f16: .f16
      case .int8: .int8
      }
  }
}
