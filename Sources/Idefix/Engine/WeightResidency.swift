// What an engine tells about where its weights are and what loading them took.

/// Where the weights of a loaded model are.
public struct WeightResidency: Sendable, Equatable {
  /// Bytes of weights that stay in memory.
  public var pinnedBytes = 0
  /// Bytes of weights that are decoded when an image needs them, and let go when text goes on without one.
  public var imageBytes = 0
  /// Bytes of buffers for weights that are read anew.
  public var bufferBytes = 0
  /// Bytes of weights that are read and decoded anew in every pass over text.
  public var streamedBytesPerPass = 0
  /// Bytes of weights that are read and decoded anew for every image.
  public var streamedBytesPerImage = 0
  /// Forecast of the seconds that one token of one sequence takes; `nil` unless weights are streamed.
  public var secondsPerToken: Double?
  /// Bytes read from the file in loading; weights used in place are not.
  public var loadedBytes = 0
  /// Seconds that loading took.
  public var loadSeconds = 0.0
  /// Bytes of the file per second that reading gave while it was waited for.
  public var readBytesPerSecond = 0.0
  /// Bytes of weights per second that all threads decoded, had they never waited for the file.
  public var decodedBytesPerSecond = 0.0

  /// Nothing loaded.
  public init() {}

  /// Whether weights are read anew in passes.
  public var isStreaming: Bool { bufferBytes > 0 }
}
