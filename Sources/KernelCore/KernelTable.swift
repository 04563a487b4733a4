// The entry points of one instruction set, as plain function values: chosen once at start-up, called
// once per range of work. Each instruction-set target builds one from the generic bodies.

/// Kernels of one instruction set.
///
/// Ranges are `lower..<upper`, passed as two integers.
///
/// A class, so that no instruction-set target holds code that copies it: such code is shared between
/// targets by name, and the linker would keep whichever copy it meets first.
public final class KernelTable: Sendable {
  /// See `quantizeActivations`: tokens.
  public let quantize: @Sendable (QuantizeArguments, Int, Int) -> Void
  /// See `packFloatActivations`: tokens.
  public let pack: @Sendable (QuantizeArguments, Int, Int) -> Void
  /// See `linearTiles`: row tiles.
  public let linear: @Sendable (LinearArguments, Int, Int, LinearScratch) -> Void
  /// See `normalize`: vectors.
  public let normalize: @Sendable (NormArguments, Int, Int) -> Void
  /// See `rotate`: rows.
  public let rotate: @Sendable (RotaryArguments, Int, Int) -> Void
  /// See `siluGate`: rows.
  public let siluGate:
    @Sendable (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int, Int, Int) -> Void
  /// See `addInto`: elements.
  public let add: @Sendable (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int, Int) -> Void
  /// See `findScales`: groups.
  public let findScales: @Sendable (RoundingArguments, Int, Int) -> Void
  /// See `roundGroups`: groups.
  public let roundGroups: @Sendable (RoundingArguments, Int, Int) -> Void
  /// See `storePages`: heads.
  public let store: @Sendable (StoreArguments, Int, Int) -> Void
  /// See `attend`: one unit.
  public let attend:
    @Sendable (AttentionArguments, AttentionUnit, UnsafeMutablePointer<Float>) -> Void
  /// See `readLines`: cache lines.
  public let read: @Sendable (UnsafeRawPointer, Int) -> UInt32
  /// See `multiplyRegisters`: turns.
  public let multiply: @Sendable (UnsafeRawPointer, Int) -> UInt32
  /// See `productsPerTurn`.
  public let productsPerTurn: Int
  /// See `Lanes.panelTokens`.
  public let panelTokens: Int

  /// A table; see `init(lanes:)` of each instruction-set target.
  public init(
    quantize: @escaping @Sendable (QuantizeArguments, Int, Int) -> Void,
    pack: @escaping @Sendable (QuantizeArguments, Int, Int) -> Void,
    linear: @escaping @Sendable (LinearArguments, Int, Int, LinearScratch) -> Void,
    normalize: @escaping @Sendable (NormArguments, Int, Int) -> Void,
    rotate: @escaping @Sendable (RotaryArguments, Int, Int) -> Void,
    siluGate:
      @escaping @Sendable (
        UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int, Int, Int
      ) -> Void,
    add: @escaping @Sendable (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int, Int) -> Void,
    findScales: @escaping @Sendable (RoundingArguments, Int, Int) -> Void,
    roundGroups: @escaping @Sendable (RoundingArguments, Int, Int) -> Void,
    store: @escaping @Sendable (StoreArguments, Int, Int) -> Void,
    attend:
      @escaping @Sendable (
        AttentionArguments, AttentionUnit, UnsafeMutablePointer<Float>
      ) -> Void,
    read: @escaping @Sendable (UnsafeRawPointer, Int) -> UInt32,
    multiply: @escaping @Sendable (UnsafeRawPointer, Int) -> UInt32,
    productsPerTurn: Int,
    panelTokens: Int
  ) {
    self.quantize = quantize
    self.pack = pack
    self.linear = linear
    self.normalize = normalize
    self.rotate = rotate
    self.siluGate = siluGate
    self.add = add
    self.findScales = findScales
    self.roundGroups = roundGroups
    self.store = store
    self.attend = attend
    self.read = read
    self.multiply = multiply
    self.productsPerTurn = productsPerTurn
    self.panelTokens = panelTokens
  }
}
