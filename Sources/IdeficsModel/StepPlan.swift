// What one pass over the weights has to do: new tokens of several sequences, flattened into rows.
// Prefill, decode and batch are the same thing here: slices of different lengths.

import Kernels

/// Unit pages of a cache: for each layer (or cross block), the page of each block of 16 tokens.
public struct PageTable: Sendable, Equatable {
  /// `layers[layer][block]` is a page of the store.
  public var layers: [[Int32]]

  /// A table of the given pages.
  public init(layers: [[Int32]]) { self.layers = layers }
}

/// The cached keys and values of one image.
public struct ImagePages: Sendable, Equatable {
  /// Pages per cross block.
  public var table: PageTable
  /// Image states held: keys that a token can attend to.
  public var stateCount: Int

  /// Names the pages of one image.
  public init(table: PageTable, stateCount: Int) {
    self.table = table
    self.stateCount = stateCount
  }
}

/// Consecutive new tokens that attend to the same image, or to none.
public struct ImageRun: Sendable, Equatable {
  /// Number of tokens.
  public var tokenCount: Int
  /// The image, or `nil`: the gate closes.
  public var image: ImagePages?

  /// A run of `tokenCount` tokens.
  public init(tokenCount: Int, image: ImagePages?) {
    self.tokenCount = tokenCount
    self.image = image
  }
}

/// Which new tokens of a slice need logits.
public enum LogitSelection: Sendable {
  /// None: an inner chunk of a prompt.
  case none
  /// The last one: to sample from.
  case last
  /// All: to score.
  case all
}

/// The new tokens of one sequence in one step.
public struct SequenceSlice: Sendable {
  /// Token ids, at least one.
  public var tokens: [Int32]
  /// Tokens of the sequence that are already cached: the position of the first new one.
  public var position: Int
  /// Self-attention pages; must cover `position + tokens.count` tokens in every layer.
  public var pages: PageTable
  /// Attended images, covering exactly the new tokens.
  public var imageRuns: [ImageRun]
  /// Logits wanted.
  public var logits: LogitSelection

  /// Describes the new tokens of one sequence.
  public init(
    tokens: [Int32],
    position: Int,
    pages: PageTable,
    imageRuns: [ImageRun],
    logits: LogitSelection
  ) {
    self.tokens = tokens
    self.position = position
    self.pages = pages
    self.imageRuns = imageRuns
    self.logits = logits
  }
}

/// Rows, positions and attention spans of one pass.
struct StepPlan {
  struct Slice {
    let rows: Range<Int>
    let position: Int
    let pages: PageTable
    let imageRuns: [ImageRun]
  }

  private(set) var tokens: [Int32] = []
  private(set) var positions: [Int32] = []
  private(set) var slices: [Slice] = []
  /// Rows whose logits are wanted, ascending.
  private(set) var logitRows: [Int] = []

  init(_ requested: [SequenceSlice]) {
    for slice in requested {
      precondition(!slice.tokens.isEmpty, "a slice without tokens")
      precondition(
        slice.imageRuns.reduce(0) { $0 + $1.tokenCount } == slice.tokens.count,
        "image runs do not cover the slice"
      )
      let rows = tokens.count..<(tokens.count + slice.tokens.count)
      tokens += slice.tokens
      positions += (0..<slice.tokens.count).map { Int32(slice.position + $0) }
      slices.append(
        Slice(
          rows: rows,
          position: slice.position,
          pages: slice.pages,
          imageRuns: slice.imageRuns
        )
      )
      switch slice.logits {
      case .none: break
      case .last: logitRows.append(rows.upperBound - 1)
      case .all: logitRows += rows
      }
    }
  }

  /// Causal spans of the self-attention of one layer.
  func selfSpans(layer: Int) -> [AttentionSpan] {
    slices.map {
      AttentionSpan(
        queryRows: $0.rows,
        pages: $0.pages.layers[layer],
        keyCount: $0.position + $0.rows.count,
        isCausal: true
      )
    }
  }

  /// Spans of the cross-attention of one block: every row exactly once.
  func crossSpans(block: Int) -> [AttentionSpan] {
    slices.flatMap { slice in
      var start = slice.rows.lowerBound
      return slice.imageRuns.map { run in
        defer { start += run.tokenCount }
        return AttentionSpan(
          queryRows: start..<(start + run.tokenCount),
          pages: run.image?.table.layers[block] ?? [],
          keyCount: run.image?.stateCount ?? 0,
          isCausal: false
        )
      }
    }
  }
}
