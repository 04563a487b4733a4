// The thresholds of a file: for each measurement the goal of the design, and the floor below which a
// change has made something slower.

import Foundation

/// Shares that measurements are held against.
struct Thresholds: Decodable {
  /// One measurement's.
  struct Entry: Decodable {
    /// What the design wants.
    let goal: Double
    /// What has been reached, less the noise of a shared machine.
    let floor: Double
  }

  /// How a measurement stands.
  enum Verdict {
    case unknown, belowFloor, belowGoal, reached

    func text(_ entry: Entry?) -> String {
      guard let entry else { return "" }
      let goal = String(format: "goal %.2f", entry.goal)
      return switch self {
      case .unknown: ""
      case .belowFloor: goal + String(format: ", BELOW ITS FLOOR %.2f", entry.floor)
      case .belowGoal: goal + ", below"
      case .reached: goal
      }
    }
  }

  private let shares: [String: Entry]

  init(path: String) throws {
    self = try JSONDecoder().decode(Self.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
  }

  subscript(name: String) -> Entry? { shares[name] }

  /// Nothing is said about a measurement that cannot be relied on.
  func verdict(_ name: String, _ measured: Measured) -> Verdict {
    guard let entry = shares[name], measured.trust == .steady else { return .unknown }
    if measured.share < entry.floor { return .belowFloor }
    return measured.share < entry.goal ? .belowGoal : .reached
  }
}
