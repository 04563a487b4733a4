// The version of the arithmetic: what is kept on disk of computed state belongs to it.

/// Identifies the bits that the same weights and inputs give.
public enum Numerics {
  /// Goes up with every change that moves a result; state saved under another version is refused.
  public static let version = 1
}
