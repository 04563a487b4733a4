// What can go wrong when kernels are set up. Shape errors are programming errors and trap at the façade.

/// An error of the kernel room.
public enum KernelError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The machine, or this build, lacks an instruction set that was asked for.
  case unavailable(ISA)
  /// A thread count outside `1...1024`.
  case threadCount(Int)
  /// The system refused to start a worker thread; the code is an `errno` value.
  case threadStart(code: Int32)
  /// Page geometry that is not positive or whose bytes overflow.
  case pageGeometry(pages: Int, heads: Int, headDim: Int)
  /// The system refused address space for pages; the code is an `errno` value.
  case reservation(bytes: Int, code: Int32)

  /// One sentence for the user.
  public var description: String {
    switch self {
    case .unavailable(let isa):
      "The instruction set '\(isa.rawValue)' is not available on this machine."
    case .threadCount(let count):
      "A thread count of \(count) is outside 1…1024."
    case .threadStart(let code):
      "The system refused to start a worker thread (error \(code))."
    case .pageGeometry(let pages, let heads, let headDim):
      "A key/value store of \(pages) pages, \(heads) heads of \(headDim) cannot be addressed."
    case .reservation(let bytes, let code):
      "The system refused to reserve \(bytes) bytes for key/value pages (error \(code))."
    }
  }
}
