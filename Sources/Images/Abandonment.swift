// Decoding ends early when the task it runs in is cancelled: a picture within the limits can take a second,
// and whoever asked for it may be gone.

/// Whether anybody still waits for a picture.
enum Abandonment {
  /// The question as the C codecs ask it between rows; 1 if nobody does.
  static let probe: @convention(c) () -> Int32 = { Task.isCancelled ? 1 : 0 }

  /// Throws ``ImageError/cancelled`` if nobody does.
  static func check() throws(ImageError) {
    if Task.isCancelled { throw .cancelled }
  }
}
