// The constraints of recent requests with the masks that were made for them: a thousand requests for the same schema
// make them once. Names hold the tenant, so that nobody can time what another tenant asked for.

/// Keeps matchers, the least recently used give way.
///
/// Belongs to the engine thread.
final class ConstraintCache {
  /// Matchers kept.
  private static let capacity = 8
  /// Bytes that matchers without a request may hold.
  private static let maximumBytes = 32 << 20

  private struct Entry {
    let constraint: Constraint
    let root: ContentKey
    let matcher: ConstraintMatcher
  }

  private let table: TokenTable
  private let vocabularySize: Int
  /// Most recently used last.
  private var entries: [Entry] = []

  init(table: TokenTable, vocabularySize: Int) {
    self.table = table
    self.vocabularySize = vocabularySize
  }

  /// The matcher of a constraint, made or found.
  func matcher(for compiled: CompiledConstraint, root: ContentKey) -> ConstraintMatcher {
    let entry: Entry
    if let place = entries.firstIndex(where: {
      $0.constraint == compiled.constraint && $0.root == root
    }), case let found = entries.remove(at: place), !found.matcher.hasFailed {
      entry = found
    } else {
      let matcher = ConstraintMatcher(
        compiled.automaton,
        table: table,
        vocabularySize: vocabularySize
      )
      entry = Entry(constraint: compiled.constraint, root: root, matcher: matcher)
    }
    entries.append(entry)
    while entries.count > Self.capacity
      || entries.count > 1 && entries.reduce(0, { $0 + $1.matcher.bytes }) > Self.maximumBytes
    {
      entries.removeFirst()
    }
    return entry.matcher
  }
}
