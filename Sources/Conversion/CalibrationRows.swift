// What a calibrated conversion learns from: prompts as token ids and pixels, and where they came from.
// Everything that the bytes of the file depend on is in the digest.

import IdeficsModel
import WeightFiles

/// How a conversion uses what calibration has seen.
public enum CalibrationMethod: String, Sendable, CaseIterable {
  /// Codebooks and scales fitted with the mean square of each input as its weight.
  case weighted
  /// As `weighted`, and what rounding a column loses is made up for in the columns after it.
  case compensated
}

/// Prompts to calibrate with.
public struct CalibrationRows: Sendable {
  /// Most prompts taken.
  public static let limit = 4096

  /// The file they came from.
  public let source: IdfxSource
  let prompts: [LayerwisePrompt]
  /// 32 bytes that tell these prompts, images included, from others.
  let digest: [UInt8]

  /// Prompts that were read from the file `name` with the bytes `contents`.
  package init(name: String, contents: [UInt8], prompts: [LayerwisePrompt]) {
    source = IdfxSource(
      name: name,
      byteCount: contents.count,
      sha256: FileDigest.sha256(of: contents)
    )
    self.prompts = prompts
    var parts: [UInt8] = []
    for prompt in prompts {
      let integers =
        prompt.tokens.map { UInt64(bitPattern: Int64($0)) }
        + prompt.attendedImages.map { UInt64(bitPattern: Int64($0)) }
      parts += FileDigest.sha256(of: Self.bytes(integers))
      for image in prompt.images {
        parts += FileDigest.sha256(of: Self.bytes(image.values.map { UInt64($0.bitPattern) }))
      }
    }
    digest = FileDigest.sha256(of: parts)
  }

  private static func bytes(_ integers: [UInt64]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(integers.count * 8)
    for integer in integers {
      for shift in stride(from: UInt64(0), to: 64, by: 8) {
        bytes.append(UInt8(truncatingIfNeeded: integer >> shift))
      }
    }
    return bytes
  }
}
