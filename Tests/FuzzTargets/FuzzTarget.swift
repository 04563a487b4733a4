// Everything that reads bytes from outside, each as one function of bytes. The fuzzer of Tools/fuzz drives these with
// inputs of its own making; the tests replay what it found worth keeping (Tests/Fixtures/corpus). A target returns
// for any input whatever: a trap, an error of the wrong type or an access out of bounds is a defect of the parser.
//
// Where a checksum would stop the fuzzer at the door, the target computes it.

/// A parser of bytes from outside.
public enum FuzzTarget: String, CaseIterable, Sendable {
  /// A safetensors file.
  case safetensors
  /// `model.safetensors.index.json`, beside two good shards.
  case index
  /// An `.idfx` file: as it is (first byte even), or blocks and directory to which header and footer are made.
  case idfx
  /// A block of an `.idfx` file: three bytes for the size that the directory gives, then the frame.
  case block
  /// The files of a tokenizer: the first byte chooses which.
  case tokenizer
  /// `config.json`, `preprocessor_config.json` or a recipe: the first byte chooses which.
  case configuration
  /// `adapter_config.json` of a PEFT adapter.
  case adapter
  /// A JPEG, PNG, WebP or GIF file.
  case image
  /// A regular expression, a JSON schema or choices: the first byte chooses which.
  case constraint
  /// A prompt in JSON.
  case prompt
  /// The header of a prefix pack.
  case prefix

  /// Feeds `bytes` to the parser.
  ///
  /// - Parameters:
  ///   - bytes: the input.
  ///   - scratch: where files are written for parsers that open them by path.
  /// - Returns: whether the parser accepted the input; it refused it with a typed error otherwise.
  public func accepts(_ bytes: [UInt8], scratch: ScratchFolder) -> Bool {
    switch self {
    case .safetensors: Self.openSafetensors(bytes, scratch)
    case .index: Self.openIndex(bytes, scratch)
    case .idfx: Self.openIdfx(bytes, scratch)
    case .block: Self.decodeBlock(bytes)
    case .tokenizer: Self.loadTokenizer(bytes)
    case .configuration: Self.readConfiguration(bytes)
    case .adapter: Self.readAdapter(bytes)
    case .image: Self.decodeImage(bytes)
    case .constraint: Self.compileConstraint(bytes)
    case .prompt: Self.readPrompt(bytes)
    case .prefix: Self.readPrefix(bytes)
    }
  }
}
