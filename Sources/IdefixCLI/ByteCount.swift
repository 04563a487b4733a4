// Byte counts on the command line: `6G`, `512M`, `4096`; units of 1024.

import ArgumentParser

/// A number of bytes that a person writes and reads.
struct ByteCount: ExpressibleByArgument, CustomStringConvertible {
  let bytes: Int

  init(_ bytes: Int) { self.bytes = bytes }

  /// Parses digits with an optional fraction and an optional K, M, G or T (1024 each).
  init?(argument: String) {
    let units: [Character: Double] = [
      "K": 1024, "M": 1_048_576, "G": 1_073_741_824, "T": 1_099_511_627_776,
    ]
    var digits = argument.uppercased()
    if digits.hasSuffix("IB") {
      digits.removeLast(2)
    } else if digits.hasSuffix("B") {
      digits.removeLast()
    }
    var unit = 1.0
    if let last = digits.last, let known = units[last] {
      unit = known
      digits.removeLast()
    }
    guard let number = Double(digits), number >= 0, number * unit < 9e18 else { return nil }
    bytes = Int(number * unit)
  }

  /// The count with a unit of 1024 and three significant digits.
  var description: String {
    let names = ["B", "KiB", "MiB", "GiB", "TiB"]
    var value = Double(bytes)
    var index = 0
    while value >= 1024, index < names.count - 1 {
      value /= 1024
      index += 1
    }
    guard index > 0 else { return "\(bytes) B" }
    let digits = value < 10 ? 100.0 : value < 100 ? 10.0 : 1.0
    let rounded = (value * digits).rounded() / digits
    return rounded == rounded.rounded()
      ? "\(Int(rounded)) \(names[index])" : "\(rounded) \(names[index])"
  }
}
