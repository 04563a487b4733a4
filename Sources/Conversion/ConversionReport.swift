// What a conversion did, as a value: sizes, bits a weight, error by tensor and by role.

import IdeficsModel
import Tensors
import WeightFiles

/// The result of a conversion.
public struct ConversionReport: Sendable, Codable {
  /// One tensor of the file.
  public struct Tensor: Sendable, Codable {
    /// Name.
    public let name: String
    /// Role.
    public let role: WeightRole
    /// Encoding, or `dense`.
    public let encoding: String
    /// Number of elements.
    public let parameters: Int
    /// Bytes in memory.
    public let bytes: Int
    /// Bytes in the file.
    public let storedBytes: Int
    /// Squared error relative to the squared norm.
    public let relativeSquaredError: Double
  }

  /// Recipe.
  public let recipe: String
  /// Every tensor, in file order.
  public let tensors: [Tensor]
  /// Bytes of the source's tensors.
  public let sourceBytes: Int
  /// Bytes of the file.
  public let fileBytes: Int
  /// Source bytes that an earlier, interrupted run had converted.
  public let resumedBytes: Int
  /// Duration of this run.
  public let seconds: Double
  /// Squared error of all quantised tensors together, relative to their squared norm.
  public let relativeSquaredError: Double
  /// Bits in memory per weight of the quantised matrices, scales and padding included.
  public let bitsPerQuantizedWeight: Double
  /// Bits in memory per parameter of the whole model.
  public let bitsPerWeight: Double

  /// Source bytes converted per second in this run.
  public var bytesPerSecond: Double {
    seconds > 0 ? Double(sourceBytes - resumedBytes) / seconds : 0
  }

  init(
    plan: ConversionPlan,
    tensors converted: [IdfxTensor],
    fileByteCount: Int,
    resumedByteCount: Int,
    seconds: Double
  ) {
    recipe = plan.recipe.name
    tensors = zip(plan.steps, converted).map { step, tensor in
      Tensor(
        name: tensor.name,
        role: step.role,
        encoding: step.layout?.encoding.name ?? "dense",
        parameters: tensor.shape.count,
        bytes: tensor.byteCount,
        storedBytes: tensor.storedByteCount,
        relativeSquaredError: tensor.relativeSquaredError
      )
    }
    sourceBytes = plan.sourceByteCount
    fileBytes = fileByteCount
    resumedBytes = resumedByteCount
    self.seconds = seconds
    let quantized = converted.filter {
      if case .packed(let layout, _) = $0.storage { layout.encoding.isQuantized } else { false }
    }
    let signal = quantized.reduce(0) { $0 + $1.signalEnergy }
    relativeSquaredError = signal > 0 ? quantized.reduce(0) { $0 + $1.errorEnergy } / signal : 0
    bitsPerQuantizedWeight = Self.bits(quantized)
    bitsPerWeight = Self.bits(converted)
  }

  private static func bits(_ tensors: [IdfxTensor]) -> Double {
    let parameters = tensors.reduce(0) { $0 + $1.shape.count }
    return parameters > 0
      ? Double(tensors.reduce(0) { $0 + $1.byteCount }) * 8 / Double(parameters) : 0
  }
}
