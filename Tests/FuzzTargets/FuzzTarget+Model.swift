// Targets of the rooms between files and engine: tokenizer, configurations, adapter, pictures.

import Conversion
import IdeficsModel
import Idefix
import Images
import Kernels
import Tokenizers

extension FuzzTarget {
  /// A tokenizer that is as it should be, with a byte token for each byte.
  static let vocabulary: [UInt8] = {
    func field(_ number: UInt8, _ contents: [UInt8]) -> [UInt8] {
      [number << 3 | 2, UInt8(contents.count)] + contents
    }
    func piece(_ text: String, type: UInt8) -> [UInt8] {
      field(1, field(1, Array(text.utf8)) + [0x15, 0, 0, 0x80, 0xbf, 0x18, type])
    }
    let digits = Array("0123456789ABCDEF")
    let bytes = (0..<256).map { "<0x\(digits[$0 >> 4])\(digits[$0 & 15])>" }
    return piece("<unk>", type: 2) + piece("<s>", type: 3) + piece("</s>", type: 3)
      + bytes.flatMap { piece($0, type: 6) }
      + ["▁", "a", "b", "ab", "▁a"].flatMap { piece($0, type: 1) }
      + field(2, [0x18, 2, 0x98, 0x02, 1]) + field(3, [0x18, 1, 0x20, 0])
  }()

  static func loadTokenizer(_ bytes: [UInt8]) -> Bool {
    let names = Tokenizer.fileNames
    guard let first = bytes.first else { return false }
    let name = names[Int(first) % names.count]
    var files = [name: Array(bytes.dropFirst())]
    if !["tokenizer.json", "tokenizer.model"].contains(name) {
      files["tokenizer.model"] = vocabulary
    }
    do throws(TokenizerError) {
      let tokenizer = try Tokenizer(files: files)
      for parseSpecial in [false, true] {
        let tokens = tokenizer.encode(bytes, parseSpecial: parseSpecial)
        precondition(tokens.allSatisfy(tokenizer.vocabulary.contains))
        _ = tokenizer.decode(tokens, skipSpecial: !parseSpecial)
      }
      _ = tokenizer.decode([-1, .max, .min], skipSpecial: false)
      return true
    } catch {
      return false
    }
  }

  static func readConfiguration(_ bytes: [UInt8]) -> Bool {
    guard let kind = bytes.first else { return false }
    let json = Array(bytes.dropFirst())
    switch kind % 3 {
    case 0:
      do throws(ConfigurationError) {
        let configuration = try Configuration(json: json)
        plan(configuration)
        return true
      } catch {
        return false
      }
    case 1:
      do {
        let processor = try ImageProcessor(json: json, imageSize: 2, path: "x.idfx")
        let picture = RGBImage(width: 1, height: 1, pixels: [0, 128, 255])
        let values = try processor.process(picture)
        precondition(values.allSatisfy(\.isFinite))
        return true
      } catch {
        return false
      }
    default:
      do throws(ConversionError) {
        let recipe = try QuantizationRecipe(json: json, path: "recipe.json")
        let again = try QuantizationRecipe(json: Array(recipe.json.utf8), path: "recipe.json")
        precondition(again.json == recipe.json)
        return true
      } catch {
        return false
      }
    }
  }

  /// What is computed from a configuration before any weight is looked at.
  private static func plan(_ configuration: Configuration) {
    for element in CacheElement.allCases {
      _ = PageStore.bytesPerPage(
        heads: configuration.heads,
        headDim: configuration.headDim,
        element: KVElement(element)
      )
    }
    guard configuration.layers + configuration.vision.layers <= 64 else { return }
    _ = WeightNames.inventory(of: configuration)
    _ = SectionInventory(configuration: configuration, sizes: [:])
  }

  static func readAdapter(_ bytes: [UInt8]) -> Bool {
    do throws(ConversionError) {
      let settings = try AdapterSettings(bytes, path: "adapter")
      for module in ["model.layers.0.self_attn.q_proj", "lm_head", ""] {
        _ = try settings.targets(module)
        _ = try settings.scale(of: module, rank: settings.rank(of: module))
      }
      return true
    } catch {
      return false
    }
  }

  static func decodeImage(_ bytes: [UInt8]) -> Bool {
    let limits = ImageLimits(pixels: 1 << 18, side: 4096)
    do throws(ImageError) {
      let image = try ImageDecoder.decode(bytes, limits: limits)
      precondition(
        image.width > 0 && image.height > 0 && image.width * image.height <= limits.pixels
      )
      precondition(image.pixels.count == 3 * image.width * image.height)
      _ = try ImageProcessor(imageSize: 14).process(image)
      return true
    } catch {
      return false
    }
  }
}
