// Turns a segment of text into tokens. Text is cut wherever no merge can join the characters on
// both sides; each piece between cuts, usually a word, is merged on its own, which changes nothing
// and keeps the work linear. Short runs are merged by scanning, long ones with a heap.
//
// Ill-formed UTF-8 is not an error: each such byte becomes its byte token.

/// Encodes segments of one text; keeps its scratch space between them.
struct BytePairEncoder {
  /// Runs up to this length are merged by scanning for the lowest rank.
  private static let longestScan = 48

  /// Longer runs that no cut divides are divided here, which bounds time and memory (2 MiB).
  ///
  /// Such a run has more tokens than a prompt of the model can hold, as pieces have 16 characters at
  /// most.
  static let longestRun = 1 << 16

  private let model: BytePairModel
  /// The tokens so far.
  private(set) var tokens: [TokenID] = []

  /// The characters since the last cut, then what they merged into.
  private var run: [TokenID] = []
  private var lastScalar: UInt32 = 0
  private var endsInUnknown = false
  /// The merge of each token of the run with its right neighbour.
  private var merges: [MergeTable.Merge] = []
  private var long = LongRunMerger()

  /// An encoder for one text.
  init(_ model: BytePairModel) { self.model = model }

  /// Adds a token as it is.
  mutating func append(_ token: TokenID) { tokens.append(token) }

  /// Encodes a segment, which gets a leading space mark; an empty one gives no tokens.
  mutating func encode(_ bytes: [UInt8], _ segment: Range<Int>) {
    guard !segment.isEmpty else { return }
    endsInUnknown = false
    append(scalar: WordBoundary.scalar, bytes: WordBoundary.utf8[...])
    var index = segment.lowerBound
    let end = segment.upperBound
    while index < end {
      guard let (value, length) = UTF8Sequence.scalar(in: bytes, at: index, end: end) else {
        appendUnknown(bytes[index...index])
        index += 1
        continue
      }
      let isSpace = value == UInt32(WordBoundary.space)
      append(
        scalar: isSpace ? WordBoundary.scalar : value,
        bytes: isSpace ? WordBoundary.utf8[...] : bytes[index..<(index + length)]
      )
      index += length
    }
    endRun()
  }

  @inline(__always)
  private mutating func append(scalar: UInt32, bytes: @autoclosure () -> ArraySlice<UInt8>) {
    let token = model.characters[scalar]
    guard token >= 0 else { return appendUnknown(bytes()) }
    if !run.isEmpty, !model.merges.mayJoin(lastScalar, scalar) || run.count == Self.longestRun {
      endRun()
    }
    run.append(token)
    lastScalar = scalar
  }

  /// Adds what no piece spells: its bytes, or one `<unk>`.
  private mutating func appendUnknown(_ bytes: ArraySlice<UInt8>) {
    endRun()
    if !model.byteTokens.isEmpty {
      for byte in bytes { tokens.append(model.byteTokens[Int(byte)]) }
    } else if !endsInUnknown || !model.fusesUnknown {
      tokens.append(model.unknown)
      endsInUnknown = true
    }
  }

  private mutating func endRun() {
    guard !run.isEmpty else { return }
    endsInUnknown = false
    switch run.count {
    case 1: break
    case ...Self.longestScan: mergeByScanning()
    default: long.merge(&run, with: model.merges)
    }
    tokens.append(contentsOf: run)
    run.removeAll(keepingCapacity: true)
  }

  /// Applies the lowest-ranked merge, the leftmost of equals, until none is left.
  private mutating func mergeByScanning() {
    merges.removeAll(keepingCapacity: true)
    for index in 0..<(run.count - 1) {
      merges.append(model.merges.merge(run[index], run[index + 1]))
    }
    while true {
      var best = 0
      var rank = MergeTable.Merge.none
      for index in merges.indices where merges[index].rank < rank {
        rank = merges[index].rank
        best = index
      }
      guard rank != MergeTable.Merge.none else { return }
      run[best] = merges[best].token
      run.remove(at: best + 1)
      merges.remove(at: best)
      if best < merges.count { merges[best] = model.merges.merge(run[best], run[best + 1]) }
      if best > 0 { merges[best - 1] = model.merges.merge(run[best - 1], run[best]) }
    }
  }
}
