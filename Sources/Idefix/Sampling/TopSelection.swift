// The n largest of many scores without sorting them all: a heap of n. Of equal scores the smaller index wins.

/// Partial selection.
package enum TopSelection {
  /// Indices of the `count` largest scores, largest first.
  ///
  /// - Complexity: O(scores · log count) time, O(count) memory.
  package static func largest(_ count: Int, of scores: [Float]) -> [Int] {
    guard count > 0 else { return [] }
    // heap[0] is the worst of the kept.
    var heap: [Int] = []
    heap.reserveCapacity(min(count, scores.count))
    func isWorse(_ a: Int, _ b: Int) -> Bool {
      scores[a] != scores[b] ? scores[a] < scores[b] : a > b
    }
    for index in scores.indices {
      if heap.count < count {
        heap.append(index)
        var child = heap.count - 1
        while child > 0 {
          let parent = (child - 1) / 2
          guard isWorse(heap[child], heap[parent]) else { break }
          heap.swapAt(child, parent)
          child = parent
        }
      } else if isWorse(heap[0], index) {
        heap[0] = index
        var parent = 0
        while true {
          var worst = parent
          for child in [2 * parent + 1, 2 * parent + 2]
          where child < heap.count && isWorse(heap[child], heap[worst]) {
            worst = child
          }
          guard worst != parent else { break }
          heap.swapAt(parent, worst)
          parent = worst
        }
      }
    }
    return heap.sorted { isWorse($1, $0) }
  }
}
