// A regular expression of an adapter's configuration, over the paths of modules. Anyone may have written
// it, and the engine that Foundation has backtracks: all patterns of an adapter share a time that they may take.

import Foundation

/// Time that the patterns of one adapter have taken.
///
/// Belongs to one thread.
final class MatchingTime {
  /// Most that they may take; honest ones take milliseconds.
  static let limit = Duration.seconds(1)
  fileprivate var spent = Duration.zero

  /// Whether the limit is reached.
  var isSpent: Bool { spent >= Self.limit }
}

/// A pattern that a module's path matches or does not.
struct ModulePattern {
  /// Longest pattern that is compiled, in bytes.
  static let maximumBytes = 4096

  private let expression: NSRegularExpression
  private let time: MatchingTime

  /// Compiles `text`; `nil` when it is too long or no regular expression.
  init?(_ text: String, prefix: String = "", time: MatchingTime) {
    guard text.utf8.count <= Self.maximumBytes,
      let expression = try? NSRegularExpression(pattern: "^\(prefix)(?:\(text))$")
    else { return nil }
    self.expression = expression
    self.time = time
  }

  /// Whether all of `module` matches; `nil` when the time is spent.
  func matches(_ module: String) -> Bool? {
    let left = MatchingTime.limit - time.spent
    guard left > .zero else { return nil }
    let start = ContinuousClock.now
    var isMatch = false
    let range = NSRange(module.startIndex..., in: module)
    // Progress is reported every few thousand steps.
    expression.enumerateMatches(in: module, options: .reportProgress, range: range) {
      result,
      _,
      stop in
      isMatch = isMatch || result != nil
      stop.pointee = ObjCBool(isMatch || ContinuousClock.now - start > left)
    }
    time.spent += ContinuousClock.now - start
    return time.isSpent && !isMatch ? nil : isMatch
  }
}
