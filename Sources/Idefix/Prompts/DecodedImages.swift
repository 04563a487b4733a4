// The last decoded image files: a prompt of many examples that is asked again need not decode and resize them again.
// Names hold the tenant, so that nobody can time what another tenant sent.

import Synchronization

/// Keeps a few decoded images, the oldest give way.
final class DecodedImages: Sendable {
  /// Images kept; 600 KB each at 224 pixels a side.
  static let capacity = 64

  private struct State {
    var images: [ContentKey: PreparedImage] = [:]
    /// Names in the order in which they were added, and where the oldest stands.
    var order: [ContentKey] = []
    var oldest = 0
  }

  private let state = Mutex(State())

  /// A decoded image by the name of its file.
  func image(_ name: ContentKey) -> PreparedImage? { state.withLock { $0.images[name] } }

  /// Keeps an image.
  func keep(_ image: PreparedImage, as name: ContentKey) {
    state.withLock { state in
      guard state.images.updateValue(image, forKey: name) == nil else { return }
      guard state.order.count == Self.capacity else { return state.order.append(name) }
      state.images[state.order[state.oldest]] = nil
      state.order[state.oldest] = name
      state.oldest = (state.oldest + 1) % Self.capacity
    }
  }
}
