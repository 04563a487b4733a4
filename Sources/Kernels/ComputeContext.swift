import Glibc
import Tensors

/// Activation functions of the model.
public enum Activation: Sendable, CaseIterable { case gelu, quickGelu, relu, silu }
/// Element type of key/value pages.
public enum KVElement: String, Sendable, CaseIterable { case f32, f16, int8 }
/// Queries that see one sequence of key/value tokens.
public struct AttentionSpan: Sendable {
  public var queryRows: Range<Int>
  public var pages: [Int32]
  public var keyCount: Int
  public var isCausal: Bool
  public init(queryRows: Range<Int>, pages: [Int32], keyCount: Int, isCausal: Bool) {
    self.queryRows = queryRows
    self.pages = pages
    self.keyCount = keyCount
    self.isCausal = isCausal
  }
}
/// Pages
public final class PageStore {
  public let pages: Int, heads: Int, headDim: Int, element: KVElement
  public init(pages: Int, heads: Int, headDim: Int, element: KVElement) throws(KernelError) {
    self.pages = pages
    self.heads = heads
    self.headDim = headDim
    self.element = element
  }
  public static func bytesPerPage(heads: Int, headDim: Int, element: KVElement) -> Int { 0 }
  public func copyPage(from source: Int32, to destination: Int32) {}
  public func poison(_ page: Int32) {}
  /// Gives the memory of the page back to the system; it reads as zero afterwards.
  public func release(_ page: Int32) {}
}
/// Context
public final class ComputeContext {
  public let isa: ISA
  public let threads: Int
  public init(isa: ISA? = nil, threads: Int? = nil) throws(KernelError) {
    self.isa = isa ?? .portable
    self.threads = threads ?? 1
  }
}
extension ComputeContext {
  public func linear(_ x: borrowing Matrix, _ weights: [PackedMatrix], bias: [DenseTensor?] = [], into y: inout Matrix) { preconditionFailure("soon") }
  public func linear(_ x: borrowing Matrix, _ weight: PackedMatrix, bias: DenseTensor? = nil, into y: inout Matrix) { preconditionFailure("soon") }
  public func linearAdd(_ x: borrowing Matrix, _ weight: PackedMatrix, bias: DenseTensor? = nil, scale: DenseTensor? = nil, into y: inout Matrix) { preconditionFailure("soon") }
  public func gatherRows(_ w: PackedMatrix, rows: [Int], into y: inout Matrix, at outRows: [Int]) { preconditionFailure("soon") }
  public func rmsNorm(_ x: borrowing Matrix, weight: DenseTensor, eps: Float, into y: inout Matrix) { preconditionFailure("soon") }
  public func layerNorm(_ x: borrowing Matrix, weight: DenseTensor, bias: DenseTensor, eps: Float, into y: inout Matrix) { preconditionFailure("soon") }
  public func headNorm(_ x: inout Matrix, column: Int, heads: Int, headDim: Int, weight: DenseTensor, bias: DenseTensor?, eps: Float) { preconditionFailure("soon") }
  public func rotary(_ x: inout Matrix, column: Int, heads: Int, headDim: Int, positions: [Int32]) { preconditionFailure("soon") }
  public func siluGate(_ x: borrowing Matrix, into y: inout Matrix) { preconditionFailure("soon") }
  public func activate(_ x: inout Matrix, _ f: Activation) { preconditionFailure("soon") }
  public func add(_ x: borrowing Matrix, into y: inout Matrix) { preconditionFailure("soon") }
  public func store(keys: borrowing Matrix, keyColumn: Int, values: borrowing Matrix, valueColumn: Int, rows: Range<Int>, into cache: PageStore, pages: [Int32], at start: Int) { preconditionFailure("soon") }
  public func attention(_ q: borrowing Matrix, column: Int, scale: Float, spans: [AttentionSpan], cache: PageStore, into out: inout Matrix) { preconditionFailure("soon") }
}
