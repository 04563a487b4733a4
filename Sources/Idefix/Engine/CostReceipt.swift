// Where a request's time went. The phases follow each other without gaps, so that they sum to the wall time.

/// Time and bytes of one phase.
public struct PhaseCost: Sendable, Equatable {
  /// Wall time in milliseconds.
  public var milliseconds: Double = 0
  /// Bytes that it made: pixels of decoded images, states of images, pages of cached keys and values.
  public var bytes: Int = 0
}

/// Wall time of a request by phase; the sum is `totalMilliseconds`.
public struct CostReceipt: Sendable, Equatable {
  /// Decoding and resizing image files, and the rest of a request's preparation.
  public var decodeImages = PhaseCost()
  /// Waiting for a place in the batch (and again after a preemption).
  public var queue = PhaseCost()
  /// The vision tower.
  public var vision = PhaseCost()
  /// The resampler.
  public var resampler = PhaseCost()
  /// Keys and values of the cross-attention blocks, once an image.
  public var crossKeysValues = PhaseCost()
  /// Prompt tokens.
  public var prefill = PhaseCost()
  /// Generated tokens.
  public var decode = PhaseCost()
  /// Prompt tokens found in the prefix cache.
  public var cachedTokens = 0
  /// Images found in the image cache.
  public var cachedImages = 0
  /// Prompt tokens computed, recomputation after a preemption included.
  public var computedTokens = 0
  /// Tokens generated, over all answers.
  public var generatedTokens = 0
  /// Tokens drafted from the text itself, and how many of them held.
  public var draftedTokens = 0
  /// Drafted tokens that were right.
  public var acceptedTokens = 0
  /// Times the request lost its pages and was computed again.
  public var preemptions = 0

  /// From submission to the last token.
  public var totalMilliseconds: Double {
    decodeImages.milliseconds + queue.milliseconds + encodeImagesMilliseconds
      + prefill.milliseconds + decode.milliseconds
  }

  /// From an image's pixels to its cached keys and values: vision, resampler and the keys and values.
  public var encodeImagesMilliseconds: Double {
    vision.milliseconds + resampler.milliseconds + crossKeysValues.milliseconds
  }

  /// Computed prompt tokens a second; 0 if none was computed.
  public var prefillTokensPerSecond: Double {
    prefill.milliseconds > 0 ? Double(computedTokens) * 1000 / prefill.milliseconds : 0
  }

  /// Generated tokens a second; the first token comes out of prefill and does not count.
  public var decodeTokensPerSecond: Double {
    let tokens = max(generatedTokens - 1, 0)
    return decode.milliseconds > 0 ? Double(tokens) * 1000 / decode.milliseconds : 0
  }
}
