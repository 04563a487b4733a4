// Several answers to one request: computed together, given in the order in which they were asked for.

/// Works on all members at once and returns the values in the members' order.
func inMembersOrder<Member: Sendable, Value: Sendable>(
  _ members: [Member],
  _ work: @escaping @Sendable (Int, Member) async throws -> Value
) async throws -> [Value] {
  try await withThrowingTaskGroup(of: (Int, Value).self) { group in
    for (index, member) in members.enumerated() {
      group.addTask { (index, try await work(index, member)) }
    }
    var values: [(Int, Value)] = []
    for try await value in group { values.append(value) }
    return values.sorted { $0.0 < $1.0 }.map(\.1)
  }
}
