import Testing
import WeightFiles

/// Which group is read ahead into which slot.
@Suite struct StreamOrderTests {
  @Test func aSequenceRunsToItsEndAndThenTheUsualOneBegins() {
    let order = StreamOrder(lengths: [3, 4], slots: 2)
    #expect(order.count == 7)
    #expect(order.first == 3)
    #expect((0..<7).map { order.next(after: $0) } == [1, 2, 3, 4, 5, 6, 3])
    #expect(StreamOrder(lengths: [3, 0], slots: 2).next(after: 2) == 0)
  }

  @Test func neighboursUseDifferentSlots() {
    for length in 2...9 {
      let order = StreamOrder(lengths: [2, length], slots: 2)
      for group in 2..<(length + 1) {
        #expect(order.slot(of: group) != order.slot(of: group + 1))
      }
    }
  }

  @Test func theWindowHasOneGroupForEverySlotThatIsNotInUse() {
    for (lengths, slots) in [([0, 1], 2), ([0, 2], 2), ([0, 3], 2), ([5, 7], 2), ([4, 9], 3)] {
      let order = StreamOrder(lengths: lengths, slots: slots)
      for used in [nil] + (0..<order.count).map(Optional.some) {
        let expected = used.map { order.next(after: $0) } ?? order.first
        let window = order.window(expected: expected, used: used)
        let taken = window.map { order.slot(of: $0) }
        #expect(Set(taken).count == taken.count, "two groups for a slot")
        if let used { #expect(!taken.contains(order.slot(of: used)), "the slot in use") }
        #expect(window.allSatisfy { $0 != used })
      }
    }
  }

  @Test func whatComesNextIsReadFirst() {
    let order = StreamOrder(lengths: [2, 5], slots: 2)
    #expect(order.window(expected: 2, used: nil) == [2, 3])
    #expect(order.window(expected: 4, used: 3) == [4])
    // The first group of the next pass needs the slot of the last one of this pass, which is in use.
    #expect(order.window(expected: 2, used: 6) == [3])
    #expect(order.window(expected: 0, used: nil) == [0, 1])
  }
}
