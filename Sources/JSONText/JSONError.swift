/// Why a text is not acceptable JSON, and where.
public struct JSONError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Byte offset of the problem.
  public let offset: Int
  /// What is wrong.
  public let reason: String

  /// An error of the reader, or of who reads with it.
  public init(offset: Int, reason: String) {
    self.offset = offset
    self.reason = reason
  }

  /// `reason` and the offset.
  public var description: String { "\(reason) at byte \(offset)" }
}
