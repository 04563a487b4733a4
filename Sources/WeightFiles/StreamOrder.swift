// Which streamed group is wanted when, and which slot of memory it uses: the arithmetic of the stream,
// without threads or bytes.

/// Groups of tensors in the order of use: sequences that each run from end to end.
///
/// Groups are numbered through, sequence after sequence. After the end of any sequence the last one
/// that is not empty is expected to begin (again): of a model's two passes that is the one over text.
package struct StreamOrder: Sendable, Equatable {
  private let ranges: [Range<Int>]
  /// Slots of memory.
  package let slots: Int

  /// Sequences of the given lengths over `slots` slots.
  package init(lengths: [Int], slots: Int) {
    var ranges: [Range<Int>] = []
    for length in lengths {
      let start = ranges.last?.upperBound ?? 0
      ranges.append(start..<(start + length))
    }
    self.ranges = ranges.filter { !$0.isEmpty }
    self.slots = slots
  }

  /// Number of groups.
  package var count: Int { ranges.last?.upperBound ?? 0 }

  /// The group that is expected before anything has been asked for.
  package var first: Int { ranges.last?.lowerBound ?? 0 }

  /// The slot of a group: neighbours use different ones.
  package func slot(of group: Int) -> Int { (group - range(of: group).lowerBound) % slots }

  /// The group expected after `group`.
  package func next(after group: Int) -> Int {
    group + 1 < range(of: group).upperBound ? group + 1 : first
  }

  /// Groups worth loading when `expected` comes next and `used` may not be touched: for every slot at
  /// most one, the first that wants it, in order of use.
  package func window(expected: Int, used: Int?) -> [Int] {
    var isTaken = [Bool](repeating: false, count: slots)
    if let used { isTaken[slot(of: used)] = true }
    var groups: [Int] = []
    var group = expected
    for _ in 0..<count {
      if !isTaken[slot(of: group)] {
        isTaken[slot(of: group)] = true
        groups.append(group)
        if !isTaken.contains(false) { break }
      }
      group = next(after: group)
    }
    return groups
  }

  private func range(of group: Int) -> Range<Int> {
    ranges.first { $0.contains(group) } ?? 0..<1
  }
}
